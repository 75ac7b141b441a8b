// How large the index tables of a convolution become, before any is made.
#include <algorithm>
#include <numeric>

#include "kernels/conv/direct/index_tables.h"

namespace resnet::kernels::conv {
namespace {

/// One axis of a convolution.
struct Axis {
  std::int64_t in, out, taps, stride, padding, dilation;
};

Axis rows_of(const ConvGeometry& g) noexcept {
  return {g.h, g.ho(), g.kh, g.sh, g.ph, g.dh};
}
Axis columns_of(const ConvGeometry& g) noexcept {
  return {g.w, g.wo(), g.kw, g.sw, g.pw, g.dw};
}

/// Taps of output o that meet the image.
std::int64_t taps_at(const Axis& a, std::int64_t o) noexcept {
  const std::int64_t first = o * a.stride - a.padding, room = a.in - 1 - first;
  if (room < 0) return 0;
  const std::int64_t begin = first < 0 ? ceil_div(-first, a.dilation) : 0;
  return std::max<std::int64_t>(0, std::min(a.taps, room / a.dilation + 1) - begin);
}

/// Outputs that meet the image through all the taps [first, last].
std::int64_t outputs_at(const Axis& a, std::int64_t first, std::int64_t last) noexcept {
  const std::int64_t before = a.padding - first * a.dilation, room = a.in - 1 + a.padding - last * a.dilation;
  if (room < 0) return 0;
  const std::int64_t begin = before > 0 ? ceil_div(before, a.stride) : 0;
  return std::max<std::int64_t>(0, std::min(a.out, room / a.stride + 1) - begin);
}

/// Pairs of an output and a tap that meets the image, counted along the fewer: a file may ask for 2^30 outputs.
double pairs_of(const Axis& a) noexcept {
  double pairs = 0;
  if (a.taps <= a.out) {
    for (std::int64_t t = 0; t < a.taps; ++t) pairs += static_cast<double>(outputs_at(a, t, t));
  } else {
    for (std::int64_t o = 0; o < a.out; ++o) pairs += static_cast<double>(taps_at(a, o));
  }
  return pairs;
}

/// Taps in all sets of an axis, at most: outputs that have all taps share one, each of the others may have
/// its own.
double forward_taps(const Axis& a) noexcept {
  const auto all = static_cast<double>(a.taps);
  return all + pairs_of(a) - all * static_cast<double>(outputs_at(a, 0, a.taps - 1));
}

/// Of an input gradient: residues of the stride that taps have, and inputs so near to the border that they may
/// lack taps.
std::int64_t period_of(const Axis& a) noexcept {
  return a.stride / std::gcd(a.stride, a.dilation);
}
std::int64_t border_of(const Axis& a) noexcept {
  const std::int64_t before = std::max<std::int64_t>(0, a.dilation * (a.taps - 1) - a.padding),
                     behind = std::max<std::int64_t>(0, a.in + a.padding - (a.out - 1) * a.stride - 1);
  return std::min(a.in, before + behind);
}

/// As forward_taps() of the input gradient, where rows are input pixels: those far enough from the border
/// share a set for each residue of the stride.
double gradient_taps(const Axis& a) noexcept {
  return static_cast<double>(a.taps) +
         static_cast<double>(border_of(a)) * static_cast<double>(ceil_div(a.taps, period_of(a)));
}

/// Sets of an axis, at most.
std::int64_t sets_of(const Axis& a, bool gradient) noexcept {
  return gradient ? std::min(a.in, border_of(a) + period_of(a)) : a.out - outputs_at(a, 0, a.taps - 1) + 1;
}

}  // namespace

double valid_taps(const ConvGeometry& g) noexcept {
  return pairs_of(rows_of(g)) * pairs_of(columns_of(g));
}

bool coordinates_fit(const ConvGeometry& g) noexcept {
  constexpr double kFewest = 16 << 20, kVector = 7;  // of 8 bytes; what a vector takes besides its own
  const double most =
      kFewest + static_cast<double>(g.h * g.w * g.ci) + static_cast<double>(g.ho() * g.wo() * g.co);
  for (const Axis& a : {rows_of(g), columns_of(g)}) {
    if (static_cast<double>(std::max(a.in, a.out)) * (static_cast<double>(a.taps) + kVector) > most)
      return false;
  }
  return true;
}

bool tables_fit(const ConvGeometry& g, ConvPass pass) noexcept {
  constexpr double kFewest = 8 << 20;  // entries of some 10 bytes
  constexpr double kPerElement = 8;
  const auto image =
      static_cast<double>(g.h * g.w * g.ci + g.ho() * g.wo() * g.co + g.kh * g.kw * (g.ci / g.groups) * g.co);
  const double most = kFewest + kPerElement * image;
  if (!coordinates_fit(g)) return false;
  const Axis rows = rows_of(g), columns = columns_of(g);
  const bool gradient = pass == ConvPass::input_gradient;
  // Each set is asked for each tap, whether it has it or not: a nanosecond or two.
  constexpr double kAskedPerEntry = 64;
  const auto asked = [&](const Axis& a) {
    return static_cast<double>(sets_of(a, gradient)) * static_cast<double>(a.taps);
  };
  if (asked(rows) * asked(columns) > kAskedPerEntry * most) return false;
  const double sets =
      gradient ? gradient_taps(rows) * gradient_taps(columns) : forward_taps(rows) * forward_taps(columns);
  // The weight gradient lists channels one by one.
  return sets * (pass == ConvPass::weight_gradient ? static_cast<double>(g.ci / g.groups) : 1.0) <= most;
}

}  // namespace resnet::kernels::conv
