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

/// Taps in all sets of an axis, at most: outputs that have all taps share one, each of the others may have
/// its own.
double forward_taps(const Axis& a) noexcept {
  auto sum = static_cast<double>(a.taps);
  for (std::int64_t o = 0; o < a.out; ++o) {
    const std::int64_t taps = taps_at(a, o);
    if (taps < a.taps) sum += static_cast<double>(taps);
  }
  return sum;
}

/// As forward_taps() of the input gradient, where rows are input pixels: those far enough from the border
/// share a set for each residue of the stride.
double gradient_taps(const Axis& a) noexcept {
  const std::int64_t period = a.stride / std::gcd(a.stride, a.dilation);
  const std::int64_t before = std::max<std::int64_t>(0, a.dilation * (a.taps - 1) - a.padding),
                     behind = std::max<std::int64_t>(0, a.in + a.padding - (a.out - 1) * a.stride - 1);
  return static_cast<double>(a.taps) +
         static_cast<double>(std::min(a.in, before + behind)) * static_cast<double>(ceil_div(a.taps, period));
}

}  // namespace

double valid_taps(const ConvGeometry& g) noexcept {
  const auto sum = [](const Axis& a) {
    double taps = 0;
    for (std::int64_t o = 0; o < a.out; ++o) taps += static_cast<double>(taps_at(a, o));
    return taps;
  };
  return sum(rows_of(g)) * sum(columns_of(g));
}

bool tables_fit(const ConvGeometry& g, ConvPass pass) noexcept {
  constexpr double kFewest = 8 << 20;  // entries of some 10 bytes
  constexpr double kPerElement = 8;
  const auto image =
      static_cast<double>(g.h * g.w * g.ci + g.ho() * g.wo() * g.co + g.kh * g.kw * (g.ci / g.groups) * g.co);
  const double most = kFewest + kPerElement * image;
  const Axis rows = rows_of(g), columns = columns_of(g);
  for (const Axis& a : {rows, columns}) {  // coordinates, by output or input and tap
    if (static_cast<double>(std::max(a.in, a.out)) * static_cast<double>(a.taps) > most) return false;
  }
  const double sets = pass == ConvPass::input_gradient ? gradient_taps(rows) * gradient_taps(columns)
                                                       : forward_taps(rows) * forward_taps(columns);
  // The weight gradient lists channels one by one.
  return sets * (pass == ConvPass::weight_gradient ? static_cast<double>(g.ci / g.groups) : 1.0) <= most;
}

}  // namespace resnet::kernels::conv
