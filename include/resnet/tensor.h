// Tensors: typed, shaped, aligned storage with one owner, and views of it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "resnet/error.h"

namespace resnet {

enum class DType : std::uint8_t { f32, f64, i32, i64, u8, bf16 };  // the type of a tensor's elements

/// Bytes of one element.
std::size_t size_of(DType dtype);

/// "f32", "f64", "i32", "i64", "u8", "bf16".
std::string_view name_of(DType dtype);

/// Extents, outermost first; images are [N,C,H,W]. At most six axes, every extent >= 0.
/// Throws ShapeError if an extent is negative, there are too many, or their product is above
/// kMaxElements, so that no sum of bytes anywhere overflows.
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  static constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const noexcept { return rank_; }
  std::int64_t operator[](int axis) const noexcept { return extents_[static_cast<std::size_t>(axis)]; }
  std::int64_t elements() const noexcept { return elements_; }  ///< product; 1 for rank 0
  const std::int64_t* begin() const noexcept { return extents_.data(); }
  const std::int64_t* end() const noexcept { return extents_.data() + rank_; }
  bool operator==(const Shape& other) const noexcept;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
  std::int64_t elements_ = 1;
};

/// "[4,3,6,6]".
std::string to_string(const Shape& shape);
std::ostream& operator<<(std::ostream& out, const Shape& shape);

/// Elements that somebody else owns, row-major.
template <class T>
struct View {
  T* data = nullptr;
  Shape shape{0};

  std::span<T> span() const noexcept { return {data, static_cast<std::size_t>(shape.elements())}; }
  T& operator[](std::int64_t i) const noexcept { return data[i]; }
  operator View<const T>() const noexcept  // NOLINT(google-explicit-constructor): as T* to const T*
      requires(!std::is_const_v<T>) {
    return {data, shape};
  }
};

/// bfloat16: the upper half of an f32.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  /// Rounds to the nearest, ties to even; NaN stays NaN. (The processor's instruction makes subnormals 0.)
  explicit BFloat16(float value) noexcept {
    const auto all = std::bit_cast<std::uint32_t>(value);
    bits = static_cast<std::uint16_t>(value == value ? (all + 0x7fffU + ((all >> 16U) & 1U)) >> 16U  // NOLINT
                                                     : (all >> 16U) | 0x40U);
  }
  explicit operator float() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
  }
};

template <class T>
constexpr DType dtype_of() = delete;  // of a C++ type
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::bf16;
}

/// Bytes aligned to 64; the content is unset.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  std::byte* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

/// A tensor that owns its elements, row-major. Copies are deep. A default tensor is empty: shape
/// [0], no data. New tensors hold zeros.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const Shape& shape, DType dtype = DType::f32);
  Tensor(const Tensor& other);
  Tensor& operator=(const Tensor& other);
  Tensor(Tensor&& other) noexcept { swap(other); }  ///< leaves a default tensor
  Tensor& operator=(Tensor&& other) noexcept {
    Tensor moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Tensor() = default;

  const Shape& shape() const noexcept { return shape_; }
  DType dtype() const noexcept { return dtype_; }
  bool empty() const noexcept { return shape_.elements() == 0; }
  std::size_t bytes() const noexcept { return static_cast<std::size_t>(shape_.elements()) * size_of(dtype_); }
  std::byte* raw() noexcept { return buffer_.data(); }
  const std::byte* raw() const noexcept { return buffer_.data(); }

  /// The elements. Throws ShapeError if T is not the tensor's dtype.
  template <class T>
  View<T> view() {
    check_dtype(dtype_of<T>());
    return {reinterpret_cast<T*>(buffer_.data()), shape_};
  }
  template <class T>
  View<const T> view() const {
    check_dtype(dtype_of<T>());
    return {reinterpret_cast<const T*>(buffer_.data()), shape_};
  }
  /// Elements of an f32 tensor. Of a temporary they end with the expression: keep the tensor.
  std::span<float> values() { return view<float>().span(); }
  std::span<const float> values() const { return view<float>().span(); }

 private:
  void check_dtype(DType wanted) const;
  void swap(Tensor& other) noexcept {
    std::swap(shape_, other.shape_);
    std::swap(dtype_, other.dtype_);
    std::swap(buffer_, other.buffer_);
  }

  Shape shape_{0};
  DType dtype_ = DType::f32;
  AlignedBuffer buffer_;
};

/// The elements in brackets, an axis each, then type and shape: `[[0.5, 1.0], [0.25, 0.0]] f32 [2,2]` with
/// aligned columns and four digits. Of more than 1000 elements only the first and last of each axis, so that
/// at most 256 are written.
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

/// f32 tensor of numbers uniform in [0, 1); element i depends on (seed, i) alone.
Tensor random_uniform(const Shape& shape, std::uint64_t seed = 0);

}  // namespace resnet
