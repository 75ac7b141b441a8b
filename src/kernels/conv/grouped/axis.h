// One axis of a pass: which source coordinates its outputs meet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/index_table.h"

namespace resnet::kernels::conv::grouped {

struct Range {
  std::int64_t begin = 0, end = 0;
  bool has(std::int64_t i) const noexcept { return i >= begin && i < end; }
};

inline Range common(Range a, Range b) noexcept {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

/// A tap as the outputs of one phase meet it: output q * out_step + phase reads the source at
/// (q + offset) * source_step + source_phase.
struct AxisTap {
  std::int64_t k = 0;  // of the kernel
  std::int64_t source_phase = 0, offset = 0;
};

/// Of outputs and sources, one is taken in phases, those of the stride: the sources of a forward pass, the
/// outputs of an input gradient.
struct Axis {
  std::int64_t in = 1, out = 1;                // extents of source and result
  std::int64_t source_step = 1, out_step = 1;  // phases
  std::vector<std::vector<AxisTap>> taps;      // of each phase of outputs, in the order of k
  std::int64_t least = 0, most = 0;            // of offsets

  /// Outputs of a phase; phase 0 has the most.
  std::int64_t outputs(std::int64_t phase) const noexcept {
    return out > phase ? ceil_div(out - phase, out_step) : 0;
  }
  std::int64_t sources(std::int64_t phase) const noexcept {
    return in > phase ? ceil_div(in - phase, source_step) : 0;
  }
  /// Outputs q of a phase at which a tap of it meets the source.
  Range valid(const AxisTap& tap, std::int64_t phase) const noexcept {
    const std::int64_t begin = std::clamp<std::int64_t>(-tap.offset, 0, outputs(phase));
    return {begin, std::clamp(sources(tap.source_phase) - tap.offset, begin, outputs(phase))};
  }
  /// Those at which all of them do.
  Range inner(std::int64_t phase) const noexcept {
    Range all{0, outputs(phase)};
    for (const AxisTap& tap : taps[static_cast<std::size_t>(phase)]) all = common(all, valid(tap, phase));
    return all;
  }
  /// Those of a phase's taps that meet the source at output q: a run, as their offsets ascend or descend.
  Range meeting(std::int64_t phase, std::int64_t q) const noexcept {
    const std::vector<AxisTap>& all = taps[static_cast<std::size_t>(phase)];
    Range run;
    for (std::size_t t = 0; t < all.size(); ++t) {
      if (!valid(all[t], phase).has(q)) continue;
      if (run.end == 0) run.begin = static_cast<std::int64_t>(t);
      run.end = static_cast<std::int64_t>(t) + 1;
    }
    return run;
  }
  /// Sources that outputs [begin, end) of all phases may read.
  Range read_by(std::int64_t begin, std::int64_t end) const noexcept {
    const std::int64_t first = std::clamp<std::int64_t>((begin + least) * source_step, 0, in);
    return {first, std::clamp((end + most) * source_step, first, in)};
  }
  /// The most of them that `count` outputs of a phase read.
  std::int64_t most_read(std::int64_t count) const noexcept {
    return std::min(in, (count + most - least) * source_step);
  }
};

struct AxisGeometry {
  std::int64_t in, out, taps, stride, padding, dilation;
};
inline AxisGeometry rows_of(const ConvGeometry& g) noexcept {
  return {g.h, g.ho(), g.kh, g.sh, g.ph, g.dh};
}
inline AxisGeometry columns_of(const ConvGeometry& g) noexcept {
  return {g.w, g.wo(), g.kw, g.sw, g.pw, g.dw};
}

/// Forward and weight gradient, or input gradient.
inline Axis make_axis(const AxisGeometry& g, bool forward) {
  Axis axis;
  axis.in = forward ? g.in : g.out;
  axis.out = forward ? g.out : g.in;
  (forward ? axis.source_step : axis.out_step) = g.stride;
  axis.taps.resize(static_cast<std::size_t>(axis.out_step));
  axis.least = std::numeric_limits<std::int64_t>::max();
  axis.most = std::numeric_limits<std::int64_t>::min();
  for (std::int64_t k = 0; k < g.taps; ++k) {
    // Forward: o meets o * stride + at, that is (o + offset) * stride + phase. Else the input that q * stride
    // + phase counts is met by q + offset.
    const std::int64_t at = forward ? k * g.dilation - g.padding : g.padding - k * g.dilation;
    const std::int64_t below = at >= 0 ? at / g.stride : -ceil_div(-at, g.stride);  // rounded down
    const std::int64_t rest = at - below * g.stride;
    AxisTap tap{.k = k, .source_phase = forward ? rest : 0, .offset = below};
    std::int64_t phase = 0;
    if (!forward && rest != 0) {
      phase = g.stride - rest;
      ++tap.offset;
    }
    axis.least = std::min(axis.least, tap.offset);
    axis.most = std::max(axis.most, tap.offset);
    axis.taps[static_cast<std::size_t>(phase)].push_back(tap);
  }
  return axis;
}

}  // namespace resnet::kernels::conv::grouped
