// Kernels that know both layouts, [n][pixels][c] in memory and [n][c][pixels] outside: flatten, its way
// back, and dropout, whose random numbers are numbered as the public layout is.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/elementwise/dropout_stream.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

/// Each image is a matrix; a task takes some images, or of a large one some of its columns (of x).
template <class From, class To>
class Transpose final : public Kernel {
 public:
  Transpose(std::string_view name, Index n, Index rows, Index columns, Isa)
      : name_(name), n_(n), rows_(rows), columns_(columns) {
    constexpr Index kTaskElements = 16 * 1024;  // 128 KiB of traffic
    columns_per_task_ =
        std::clamp(kTaskElements / std::max<Index>(1, rows), std::min(kTile, columns), columns);
    columns_per_task_ = std::max<Index>(1, columns_per_task_);
    images_per_task_ = std::max<Index>(1, kTaskElements / std::max<Index>(1, rows * columns));
  }

  std::string_view name() const noexcept override { return name_; }
  Index tasks(int) const noexcept override {
    return (n_ + images_per_task_ - 1) / images_per_task_ * column_tasks();
  }

  void run(const Call& call, int, Index task) const noexcept override {
    const auto* x = call.operand<const From>(0);
    auto* y = call.operand<To>(1);
    const Index first_image = task / column_tasks() * images_per_task_;
    const Index last_image = std::min(n_, first_image + images_per_task_);
    const Index first = task % column_tasks() * columns_per_task_;
    const Index last = std::min(columns_, first + columns_per_task_);
    for (Index image = first_image; image < last_image; ++image) {
      const Index at = image * rows_ * columns_;
      if (rows_ == 1 || columns_ == 1) {
        std::transform(x + at + first * rows_, x + at + last * rows_, y + at + first * rows_, converted);
      } else {
        transpose(x + at, first, last, y + at);
      }
    }
  }

 private:
  static constexpr Index kTile = 16;  // a cache line of f32, read from 16 rows and written to 16 columns

  static To converted(From value) noexcept { return To(static_cast<float>(value)); }

  void transpose(const From* x, Index first, Index last, To* y) const noexcept {
    for (Index column0 = first; column0 < last; column0 += kTile) {
      const Index column1 = std::min(last, column0 + kTile);
      for (Index row0 = 0; row0 < rows_; row0 += kTile) {
        const Index row1 = std::min(rows_, row0 + kTile);
        for (Index column = column0; column < column1; ++column) {
          for (Index row = row0; row < row1; ++row)
            y[column * rows_ + row] = converted(x[row * columns_ + column]);
        }
      }
    }
  }
  Index column_tasks() const noexcept { return (columns_ + columns_per_task_ - 1) / columns_per_task_; }

  std::string_view name_;
  Index n_, rows_, columns_;
  Index columns_per_task_ = 1, images_per_task_ = 1;
};
template <class T>
using Flatten = Transpose<T, float>;
template <class T>
using Unflatten = Transpose<float, T>;

// uniform() is word / 2^8 on a grid of 2^-24; p * 2^24 is exact, so word >> 8 >= this is uniform() >= p.
std::uint32_t drop_threshold(double p) {
  return static_cast<std::uint32_t>(std::ceil(p * 0x1p24));
}

template <class T>
class Dropout final : public Kernel {
 public:
  Dropout(double p, std::uint64_t layer, Index n, Index c, Index pixels, Isa)
      : layer_(layer),
        threshold_(drop_threshold(p)),
        scale_(p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0F),
        elements_(n * c * pixels),
        c_(c),
        pixels_(pixels) {}

  std::string_view name() const noexcept override { return "dropout/sweep"; }
  Index tasks(int) const noexcept override { return (elements_ + kChunk - 1) / kChunk; }

  void run(const Call& call, int, Index task) const noexcept override {
    const auto* x = call.operand<const T>(0);
    const auto* seed_step = call.operand<const std::int64_t>(1);
    auto* y = call.operand<T>(2);
    const RandomStream random = dropout_stream(layer_, seed_step[0], seed_step[1]);
    const Index begin = task * kChunk, end = std::min(elements_, begin + kChunk);
    Index pixel = begin % pixels_, plane = begin / pixels_;  // (image, channel)
    Index place = (plane / c_ * pixels_ + pixel) * c_ + plane % c_;
    std::array<std::uint32_t, 4> words{};  // a chunk begins with a block of them
    for (Index i = begin; i < end; ++i, place += c_) {
      const auto number = static_cast<std::uint64_t>(i);
      if (number % 4 == 0) words = random.block(number / 4);
      const bool kept = words[number % 4] >> 8U >= threshold_;
      const auto value = static_cast<float>(x[place]);
      y[place] = T(kept ? value * scale_ : value * 0.0F + 0.0F);  // +0, or what is not finite
      if (++pixel < pixels_) continue;
      pixel = 0;
      ++plane;
      place = plane / c_ * pixels_ * c_ + plane % c_ - c_;  // and on to its first pixel
    }
  }

 private:
  static constexpr Index kChunk = 4 * 1024;  // it is the random numbers that take the time

  std::uint64_t layer_;
  std::uint32_t threshold_;
  float scale_;
  Index elements_, c_, pixels_;
};

template <class T>
class DropPath final : public Kernel {
 public:
  DropPath(double p, std::uint64_t layer, Index n, Index elements, Isa)
      : layer_(layer),
        threshold_(drop_threshold(p)),
        scale_(static_cast<float>(1.0 / (1.0 - p))),
        n_(n),
        elements_(elements),
        chunks_((elements + kChunk - 1) / kChunk) {}

  std::string_view name() const noexcept override { return "drop_path/sweep"; }
  Index tasks(int) const noexcept override { return n_ * chunks_; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Index example = task / chunks_, first = task % chunks_ * kChunk;
    const auto* x = call.operand<const T>(0) + example * elements_;
    const auto* seed_step = call.operand<const std::int64_t>(1);
    auto* y = call.operand<T>(2) + example * elements_;
    const RandomStream random = dropout_stream(layer_, seed_step[0], seed_step[1]);
    const bool kept = random.word(static_cast<std::uint64_t>(example)) >> 8U >= threshold_;
    const float scale = kept ? scale_ : 0.0F;
    const float zero = kept ? -0.0F : 0.0F;  // a dropped -x gives +0, a kept -0 stays
    for (Index i = first; i < std::min(elements_, first + kChunk); ++i)
      y[i] = T(static_cast<float>(x[i]) * scale + zero);
  }

 private:
  static constexpr Index kChunk = 32 * 1024;

  std::uint64_t layer_;
  std::uint32_t threshold_;
  float scale_;
  Index n_, elements_, chunks_;
};

}  // namespace

std::unique_ptr<Kernel> make_drop_path(double p, std::uint64_t layer, std::int64_t n, std::int64_t elements,
                                       Isa isa, DType storage) {
  return make_stored<DropPath>(storage, isa, p, layer, n, elements);
}
std::unique_ptr<Kernel> make_dropout(double p, std::uint64_t layer, std::int64_t n, std::int64_t c,
                                     std::int64_t pixels, Isa isa, DType storage) {
  return make_stored<Dropout>(storage, isa, p, layer, n, c, pixels);
}
std::unique_ptr<Kernel> make_flatten(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                     DType storage) {
  return make_stored<Flatten>(storage, isa, "flatten/transpose", n, pixels, c);
}
std::unique_ptr<Kernel> make_unflatten(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                       DType storage) {
  return make_stored<Unflatten>(storage, isa, "unflatten/transpose", n, c, pixels);
}

}  // namespace resnet::kernels
