// dw = P^T * dy, for what gathers it in parts: sums of some pixels, and the sum of the parts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/conv/conv_simd.h"
#include "kernels/conv/patches.h"

namespace resnet::kernels::conv {

/// Adds what the pixels of a chunk of some images contribute to args.sums. Set in `args`: all but the lists.
template <class X, class Y>
void accumulate_chunk(const AccumulateFunctions<X, Y>& f, const Chunk& chunk, std::int64_t images,
                      AccumulateArgs<X, Y>& args) noexcept {
  for (const Group& pixels : chunk.groups) {
    args.columns = pixels.columns.data();
    args.column_count = static_cast<std::int64_t>(pixels.columns.size());
    const std::int64_t count = pixels.rows_per_image * images;
    const std::int64_t pieces = ceil_div(count, f.pixels);
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const std::int64_t begin = count * piece / pieces;
      args.pixels = pixels.rows.data() + begin;
      args.pixel_count = count * (piece + 1) / pieces - begin;
      f.accumulate(args);
    }
  }
}

/// Moves sums [panel][column of P][column of the panel] to their place in dw, whose lines of `co` floats are
/// columns of P.
inline void store_sums(const float* sums, std::int64_t columns, std::int64_t outputs,
                       std::int64_t panel_columns, float* dw, std::int64_t co) noexcept {
  for (std::int64_t first = 0; first < outputs; first += panel_columns) {
    const auto width = static_cast<std::size_t>(std::min(panel_columns, outputs - first));
    float* to = dw + first;
    for (std::int64_t k = 0; k < columns; ++k, sums += panel_columns, to += co)
      std::memcpy(to, sums, width * sizeof(float));
  }
}

/// The parts of dw: the first stands in dw itself, the others in a workspace, in the layout of dw. They are
/// summed in their order.
class WeightParts {
 public:
  WeightParts() = default;
  WeightParts(std::int64_t parts, std::int64_t dw_floats) : parts_(parts), floats_(dw_floats) {}

  std::int64_t number() const noexcept { return parts_; }
  std::int64_t bytes() const noexcept {
    return static_cast<std::int64_t>(sizeof(float)) * (parts_ - 1) * floats_;
  }
  float* part(float* dw, std::byte* workspace, std::int64_t number) const noexcept {
    return number == 0 ? dw : reinterpret_cast<float*>(workspace) + (number - 1) * floats_;
  }
  std::int64_t sum_tasks() const noexcept { return ceil_div(floats_, kSumFloats); }
  void sum(const ConvFunctions& f, float* dw, std::byte* workspace, std::int64_t task) const noexcept {
    const std::int64_t begin = task * kSumFloats, count = std::min(kSumFloats, floats_ - begin);
    for (std::int64_t i = 1; i < parts_; ++i) f.add(part(dw, workspace, i) + begin, dw + begin, count);
  }

 private:
  static constexpr std::int64_t kSumFloats = 4096;  // of dw, a task of the final sum
  std::int64_t parts_ = 1, floats_ = 0;
};

}  // namespace resnet::kernels::conv
