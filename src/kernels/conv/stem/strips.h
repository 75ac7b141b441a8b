// Strips of images, in which a convolution and its pool are computed together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/conv/direct/index_tables.h"
#include "kernels/conv/direct/repack.h"
#include "kernels/layout.h"
#include "kernels/matmul/matmul_simd.h"
#include "kernels/pool/pool_simd.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels::conv {

/// Tasks of a pass, at least: for a balance between threads.
inline constexpr std::int64_t kEnoughPooledTasks = 32;

// A panel of a strip of y stays in L2 beside the strip's x: 160 KiB of 512 with AVX2, of 1024
// with AVX-512, whose panels are four times as wide.
inline constexpr std::int64_t kStripBytes = 160 << 10;
inline constexpr std::int64_t kWideStripBytes = 320 << 10;
inline constexpr std::int64_t kWidestPanel = 64;

/// A strip of an image: rows of y, and the rows of the pool that are made of them.
struct PoolStrip {
  std::int64_t begin = 0, end = 0;  // rows of y that count here
  std::int64_t seen_end = 0;        // up to here rows are made for its windows, some again in the next strip
  Range windows;                    // rows of the pool
};

/// Rows of a window from the first of the next window on.
std::int64_t overlap(const PoolGeometry& pool);

/// The most rows of windows whose rows of y, `columns` floats a pixel, take no more than `bytes`; or one.
std::int64_t fitting_windows(const PoolGeometry& pool, std::int64_t columns, std::int64_t bytes);

/// Strips of as many rows of windows each. They begin where their first window does; those of few images are
/// shorter, but not so short that more than a quarter is made twice.
std::vector<PoolStrip> cut_strips(const PoolGeometry& pool, std::int64_t columns, std::int64_t bytes);

/// Whether there is one group, and the pool is of the convolution's result.
bool pools(const ConvGeometry& conv, const PoolGeometry& pool);

/// The convolution of `rows` rows of y whose x stands by itself with its padding, so that every tap meets a
/// number and one table serves all strips.
ConvGeometry padded(const ConvGeometry& g, std::int64_t rows);

/// What the kernels share: the strips, and x of one in scratch, with its padding. x is of type X.
template <class X>
class PooledConv : public Kernel {
 public:
  PooledConv(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa, std::vector<PoolStrip> strips)
      : g_(conv),
        pool_(pool),
        f_(matmul_functions<float>(isa)),
        strips_(std::move(strips)),
        padded_(padded(conv, most_rows())) {
    x_ = scratch_.add<float>(x_floats());
  }
  PooledConv(const PooledConv&) = delete;

  std::int64_t scratch_bytes() const noexcept override { return scratch_.bytes(); }

 protected:
  static constexpr std::int64_t kSlack = 16;  // behind x, that vectors may be read whole

  /// Strips of all images; a number's strip and image.
  std::int64_t strips() const noexcept { return g_.n * static_cast<std::int64_t>(strips_.size()); }
  std::size_t which(std::int64_t number) const noexcept {
    return static_cast<std::size_t>(number) % strips_.size();
  }
  const PoolStrip& strip(std::int64_t number) const noexcept { return strips_[which(number)]; }
  std::int64_t image(std::int64_t number) const noexcept {
    return number / static_cast<std::int64_t>(strips_.size());
  }
  std::int64_t most_rows() const noexcept {
    std::int64_t rows = 1;
    for (const PoolStrip& s : strips_) rows = std::max(rows, s.seen_end - s.begin);
    return rows;
  }

  std::int64_t panels() const noexcept { return f_.panels(g_.co); }
  std::int64_t channels(std::int64_t panel) const noexcept {
    return std::min(f_.columns, g_.co - panel * f_.columns);
  }
  /// Where an image begins in what has the pooled shape.
  std::int64_t pooled_at(std::int64_t number) const noexcept {
    return image(number) * pool_.g.ho() * pool_.g.wo() * g_.co;
  }

  /// Padded rows, and zeros behind them: enough of f32, and of bf16, whose rows are rounded up to whole
  /// words.
  std::int64_t x_floats() const noexcept { return padded_.h * padded_.w * padded_.ci + kSlack; }
  template <class T>
  const T* load_x(const Call& call, std::int64_t number) const noexcept {
    const std::int64_t line = g_.w * g_.ci, first = strip(number).begin * g_.sh - g_.ph;
    const X* from = call.operand<const X>(0) + image(number) * g_.h * line;
    T* to = piece<T>(call.scratch, x_);
    for (std::int64_t h = first; h < first + padded_.h; ++h)
      to = store_padded_row(g_, h >= 0 && h < g_.h ? from + h * line : nullptr, to);
    std::fill_n(to, kSlack, T(0.0F));
    return piece<T>(call.scratch, x_);
  }

  ConvGeometry g_;
  PoolTables pool_;
  const MatmulFunctions& f_;
  std::vector<PoolStrip> strips_;
  ConvGeometry padded_;
  Layout scratch_;

 private:
  std::int64_t x_ = 0;
};

/// K<type of x, type of what has the pooled shape>. Throws ShapeError unless the pool is of the convolution.
template <template <class, class> class K>
std::unique_ptr<Kernel> make_pooled(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa,
                                    ConvStorage storage) {
  check_conv(conv);
  if (!pools(conv, pool)) throw ShapeError("convolution and pool: more than one group, or not of its result");
  check_storage(storage.out, isa);
  if (storage.out != DType::bf16) return std::make_unique<K<float, float>>(conv, pool, isa);
  if (storage.in != DType::bf16) return std::make_unique<K<float, BFloat16>>(conv, pool, isa);
  return std::make_unique<K<BFloat16, BFloat16>>(conv, pool, isa);
}

/// The two passes.
std::unique_ptr<Kernel> make_stem_forward(const ConvGeometry& g, const PoolGeometry& pool, Isa isa,
                                          ConvStorage storage);
std::unique_ptr<Kernel> make_stem_weight_gradient(const ConvGeometry& g, const PoolGeometry& pool, Isa isa,
                                                  ConvStorage storage);

}  // namespace resnet::kernels::conv
