// What convolutions do to their results for the batch norm that reads them: sums for its statistics, or all
// of it where its statistics are known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/machine.h"
#include "kernels/conv/conv.h"
#include "kernels/index_table.h"
#include "kernels/kernel.h"
#include "kernels/simd/chunk_sums.h"

namespace resnet::kernels::conv {

/// Statistics of a task's results for the batch norm that reads them: three vectors, one element a channel.
///   moments     the shift, sums of result - shift and of its square
///   gradient    sums of dz, dz * (x - mean) and x - mean; the result dz is made zero where the norm's own
///               result is zero or less: by its coefficients [3][c], or by a ReLU mask, bits of elements
///   normalized  nothing; the result becomes max((result - mean) * scale + offset + addend, floor)
enum class Stats : std::uint8_t {
  none,
  moments,
  gradient_by_coefficients,
  gradient_by_relu_mask,
  normalized
};
template <class T>
struct StatsArgs {
  Stats what = Stats::none;
  float* sums = nullptr;
  const T* x = nullptr;                 // of the image's shape; gradient: x, normalized: the addend or null
  const float* coefficients = nullptr;  // of coefficients; gradient: its first row, mean, always
  float floor = 0;                      // normalized: 0 or minus infinity
  const std::uint8_t* relu_mask = nullptr;
};

/// Places of the operands of a forward pass or an input gradient that depend on what it fuses (conv.h).
struct FusedOperands {
  int norm = 0;  // forward: coefficients of the norm before; input gradient: the norm's x, its gate follows
  int epilogue = 0;  // forward: coefficients of the norm behind, an addend follows
  int result = 0;    // y or dx; the statistics follow

  FusedOperands(const ConvFusion& fusion, bool forward) noexcept
      : norm(forward || fusion.add ? 3 : 2), epilogue(norm + (fusion.norm ? 1 : 0)), result(epilogue) {
    if (fusion.norm_epilogue) result += fusion.add ? 2 : 1;
    if (fusion.sums == ConvFusion::Sums::by_coefficients) result += 2;
    if (fusion.sums == ConvFusion::Sums::by_relu_mask) result += 3;
  }
  /// What a task accumulates in `sums`.
  template <class T>
  StatsArgs<T> stats(const ConvFusion& fusion, const Call& call, float* sums) const noexcept {
    if (fusion.moments) return {.what = Stats::moments, .sums = sums};
    if (fusion.norm_epilogue) {
      return {.what = Stats::normalized,
              .x = fusion.add ? call.operand<const T>(epilogue + 1) : nullptr,
              .coefficients = call.operand<const float>(epilogue),
              .floor = fusion.relu_epilogue ? 0.0F : -std::numeric_limits<float>::infinity()};
    }
    const bool by_relu_mask = fusion.sums == ConvFusion::Sums::by_relu_mask;
    return {.what = by_relu_mask ? Stats::gradient_by_relu_mask : Stats::gradient_by_coefficients,
            .sums = sums,
            .x = call.operand<const T>(norm),
            .coefficients = call.operand<const float>(norm + 1),
            .relu_mask = by_relu_mask ? call.operand<const std::uint8_t>(norm + 2) : nullptr};
  }
};

/// Statistics of `count` rows of an image tensor, the channels [begin, end) of elements `at` + rows[i].out;
/// the numbers of a gradient are gated, and results normalized, where they stand. Adds to args.sums.
template <class T>
void apply_epilogue(Isa isa, const StatsArgs<T>& args, T* image, const Row* rows, std::int64_t count,
                    std::int64_t at, std::int64_t channels, std::int64_t begin, std::int64_t end);
template <>
void apply_epilogue<float>(Isa isa, const StatsArgs<float>& args, float* image, const Row* rows,
                           std::int64_t count, std::int64_t at, std::int64_t channels, std::int64_t begin,
                           std::int64_t end);
template <>
void apply_epilogue<BFloat16>(Isa isa, const StatsArgs<BFloat16>& args, BFloat16* image, const Row* rows,
                              std::int64_t count, std::int64_t at, std::int64_t channels, std::int64_t begin,
                              std::int64_t end);

/// The sums of all tasks, in a part of the workspace, and the operand that is made of them.
class StatsSums {
 public:
  static constexpr int kKinds = 3;
  StatsSums(const ConvFusion& fusion, std::int64_t channels, std::int64_t chunks)
      : moments_(fusion.moments),
        any_(fusion.any_stats()),
        channels_(channels),
        chunks_(channels, chunks, kKinds) {}

  bool any() const noexcept { return any_; }
  std::int64_t bytes() const noexcept { return any_ ? chunks_.bytes() : 0; }
  /// Of a task's statistics.
  std::int64_t scratch_bytes() const noexcept {
    return any_ ? kKinds * channels_ * std::int64_t{sizeof(float)} : 0;
  }
  /// Keeps a chunk's statistics of the channels [begin, end), whole lines of them.
  void store(std::byte* memory, const float* sums, std::int64_t chunk, std::int64_t begin,
             std::int64_t end) const noexcept {
    for (int which = 0; which < kKinds; ++which) {
      chunks_.store(sums + which * channels_, reinterpret_cast<float*>(memory), chunk, which,
                    begin / ChunkSums::kLanes, ceil_div(end, ChunkSums::kLanes));
    }
  }
  /// Tasks of the last phase, and one of them: rows [3][channels], of `pixels` in all. `rows_of(chunk)`: how
  /// many a chunk has, for moments.
  std::int64_t merge_tasks() const noexcept { return chunks_.lines(); }
  template <class Rows>
  void merge(const std::byte* memory, std::int64_t task, std::int64_t pixels, const Rows& rows_of,
             float* result) const noexcept {
    const auto* sums = reinterpret_cast<const float*>(memory);
    if (moments_) return chunks_.store(chunks_.moments(sums, task, pixels, rows_of), task, pixels, result);
    for (int which = 0; which < kKinds; ++which) {
      const ChunkSums::Line total = chunks_.total(sums, task, which);
      float* row = result + which * channels_ + chunks_.line_begin(task);
      for (std::int64_t i = 0; i < chunks_.line_size(task); ++i)
        row[i] = static_cast<float>(total[static_cast<std::size_t>(i)]);
    }
  }

 private:
  bool moments_, any_;
  std::int64_t channels_;
  ChunkSums chunks_;
};

}  // namespace resnet::kernels::conv
