#include "resnet/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <ostream>

#include "base/random.h"

namespace resnet {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 4;
    case DType::f64:
      return 8;
    case DType::i32:
      return 4;
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
    case DType::bf16:
      return 2;
  }
  return 0;
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

Shape::Shape(std::initializer_list<std::int64_t> extents)
    : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const std::int64_t> extents) {
  if (extents.size() > static_cast<std::size_t>(kMaxRank)) {
    throw ShapeError("a shape of " + std::to_string(extents.size()) + " axes; at most " +
                     std::to_string(kMaxRank) + " are supported");
  }
  std::int64_t product = 1;  // of extents above zero: those of an empty shape are bounded too
  for (const std::int64_t extent : extents) {
    if (extent < 0) throw ShapeError("an extent of " + std::to_string(extent) + " in a shape");
    extents_[static_cast<std::size_t>(rank_++)] = extent;
    if (extent == 0) elements_ = 0;
    if (extent > 0 && __builtin_mul_overflow(product, extent, &product))
      throw ShapeError("a shape whose number of elements overflows 64 bits");
  }
  if (product > kMaxElements) {
    throw ShapeError("a shape of " + std::to_string(product) + " elements" +
                     (elements_ == 0 ? " beside an extent of 0" : "") + "; at most 2^40 are supported");
  }
  if (elements_ != 0) elements_ = product;
}

bool Shape::operator==(const Shape& other) const noexcept {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) text += ',';
    text += std::to_string(shape[axis]);
  }
  return text + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << to_string(shape);
}

AlignedBuffer::AlignedBuffer(std::size_t bytes) : size_(bytes) {
  constexpr std::size_t kLine = 64;  // one cache line and one AVX-512 vector
  constexpr std::size_t kHugePage = 2 << 20;
  if (bytes == 0) return;
  // A kernel walks dozens of streams at once; with pages of 4 KiB each would miss the TLB all the time.
  const bool huge = bytes >= 4 * kHugePage;
  const std::size_t alignment = huge ? kHugePage : kLine;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded < bytes) throw std::bad_alloc();
  auto* p = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  if (p == nullptr) throw std::bad_alloc();
  data_.reset(p);
  if (huge) static_cast<void>(madvise(p, rounded, MADV_HUGEPAGE));  // slower without, nothing else
}

void AlignedBuffer::Free::operator()(std::byte* p) const noexcept {
  std::free(p);
}

Tensor::Tensor(const Shape& shape, DType dtype) : shape_(shape), dtype_(dtype), buffer_(bytes()) {
  if (bytes() > 0) std::memset(buffer_.data(), 0, bytes());
}

Tensor::Tensor(const Tensor& other) : shape_(other.shape_), dtype_(other.dtype_), buffer_(other.bytes()) {
  if (bytes() > 0) std::memcpy(buffer_.data(), other.buffer_.data(), bytes());
}

Tensor& Tensor::operator=(const Tensor& other) {
  if (this != &other) *this = Tensor(other);
  return *this;
}

void Tensor::check_dtype(DType wanted) const {
  if (wanted != dtype_) {
    throw ShapeError("a tensor of " + std::string(name_of(dtype_)) + " read as " +
                     std::string(name_of(wanted)));
  }
}

Tensor random_uniform(const Shape& shape, std::uint64_t seed) {
  Tensor tensor(shape);
  const RandomStream stream(seed, "random_uniform");
  const std::span<float> values = tensor.values();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = stream.uniform(i);
  return tensor;
}

}  // namespace resnet
