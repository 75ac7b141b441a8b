// Which algorithm computes a convolution: a cost rule of shape and instruction set alone, so that a plan
// is the same text on every machine.
#include <fmt/format.h>

#include <array>

#include "kernels/conv/conv.h"
#include "kernels/conv/patches.h"
#include "kernels/conv/winograd.h"

namespace resnet::kernels {
namespace {

// Costs are counted in multiply-adds at the machine's peak. Measured on a Zen 3 with 64 to 512
// channels: both products run at about 0.95 of the peak, and a byte that a transform reads or writes
// costs as much as 6 multiply-adds of one core with AVX2; with AVX-512 the products are up to twice as
// fast and the memory is not.
constexpr double kProducts = 0.95;
constexpr double byte_cost(Isa isa) {
  return isa == Isa::avx2 ? 6 : 9;
}

// Outputs of one axis times the taps of its kernel that meet the image.
double valid_taps(std::int64_t in, std::int64_t out, std::int64_t taps, std::int64_t stride,
                  std::int64_t padding, std::int64_t dilation) {
  double count = 0;
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t t = 0; t < taps; ++t) {
      const std::int64_t at = o * stride - padding + t * dilation;
      count += at >= 0 && at < in ? 1 : 0;
    }
  }
  return count;
}

double direct_cost(const ConvGeometry& g) {
  const double taps =
      valid_taps(g.h, g.ho(), g.kh, g.sh, g.ph, g.dh) * valid_taps(g.w, g.wo(), g.kw, g.sw, g.pw, g.dw);
  return static_cast<double>(g.n * g.co) * static_cast<double>(g.ci / g.groups) * taps / kProducts;
}

double winograd_cost(const ConvGeometry& g, ConvPass pass, std::int64_t m, Isa isa) {
  const std::int64_t h = pass == ConvPass::input_gradient ? g.h : g.ho();
  const std::int64_t w = pass == ConvPass::input_gradient ? g.w : g.wo();
  const auto points = static_cast<double>((m + 2) * (m + 2));
  const auto tiles = static_cast<double>(g.n * conv::ceil_div(h, m) * conv::ceil_div(w, m));
  const auto ci = static_cast<double>(g.ci), co = static_cast<double>(g.co);
  // Transformed images and weights are written and read once each, pixels once.
  const double floats = 2 * points * (tiles * (ci + co) + ci * co) +
                        static_cast<double>(g.n) * static_cast<double>(g.h * g.w * g.ci + h * w * g.co);
  return points * tiles * ci * co / kProducts + byte_cost(isa) * 4 * floats;
}

}  // namespace

ConvChoice choose_conv(const ConvGeometry& g, ConvPass pass, Isa isa) {
  conv::check(g);
  if (!conv::winograd_serves(g)) return {0, "direct: Winograd serves 3x3 at stride 1 in one group only"};
  const double direct = direct_cost(g);
  constexpr std::array<std::int64_t, 2> kTiles = {3, 4};
  std::array<double, 2> relative{};
  for (std::size_t i = 0; i < kTiles.size(); ++i)
    relative.at(i) = winograd_cost(g, pass, kTiles.at(i), isa) / direct;
  const std::size_t best = relative[1] < relative[0] ? 1 : 0;
  const std::int64_t m = kTiles.at(best);
  if (relative.at(best) >= 1) {
    return {0, fmt::format("direct: F({0}x{0}) would cost {1:.2f} times as much", m, relative.at(best))};
  }
  return {m, fmt::format("F({0}x{0}) at {1:.2f} of the direct cost; F({2}x{2}) {3:.2f}", m, relative.at(best),
                         kTiles.at(1 - best), relative.at(1 - best))};
}

std::unique_ptr<Kernel> make_conv(const ConvGeometry& g, ConvPass pass, Isa isa, std::int64_t tile) {
  conv::check(g);
  if (tile != 0) {
    if (!conv::winograd_serves(g) || (tile != 3 && tile != 4)) {
      throw ShapeError("no Winograd kernel serves this convolution");
    }
    return conv::make_winograd(g, pass, tile, isa);
  }
  if (pass == ConvPass::weight_gradient) return conv::make_patch_weight_gradient(g, isa);
  return conv::make_patch_product(g, pass, isa);
}

}  // namespace resnet::kernels
