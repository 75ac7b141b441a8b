// Which algorithm computes a convolution: a cost rule of shape and instruction set alone, so that a plan
// is the same text on every machine.
#include <fmt/format.h>

#include <array>

#include "kernels/conv/conv.h"
#include "kernels/conv/patches.h"
#include "kernels/conv/winograd.h"
#include "kernels/storage.h"

namespace resnet::kernels {
namespace {

// Costs are counted in multiply-adds at the machine's peak. Measured on a Zen 3 with 64 to 512
// channels: both products run at about 0.95 of the peak, and a byte that a transform reads or writes
// costs as much as 6 multiply-adds of one core with AVX2; with AVX-512 the products are up to twice as
// fast and the memory is not. In bf16 a Zen 4 showed 2.5 with blocks that stay in its caches.
constexpr double kProducts = 0.95;
double byte_cost(Isa isa, DType storage) {
  if (storage == DType::bf16) return 2.5;
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

// Products of bf16 take half the time.
double product_cost(DType storage) {
  return (storage == DType::bf16 ? 0.5 : 1.0) / kProducts;
}

double direct_cost(const ConvGeometry& g, DType storage) {
  const double taps =
      valid_taps(g.h, g.ho(), g.kh, g.sh, g.ph, g.dh) * valid_taps(g.w, g.wo(), g.kw, g.sw, g.pw, g.dw);
  return static_cast<double>(g.n * g.co) * static_cast<double>(g.ci / g.groups) * taps *
         product_cost(storage);
}

double winograd_cost(const ConvGeometry& g, ConvPass pass, std::int64_t m, Isa isa, DType storage) {
  const std::int64_t h = pass == ConvPass::input_gradient ? g.h : g.ho();
  const std::int64_t w = pass == ConvPass::input_gradient ? g.w : g.wo();
  const auto points = static_cast<double>((m + 2) * (m + 2));
  const auto tiles = static_cast<double>(g.n * conv::ceil_div(h, m) * conv::ceil_div(w, m));
  const auto ci = static_cast<double>(g.ci), co = static_cast<double>(g.co);
  // Transformed images and weights are written and read once each, pixels once; sums are f32.
  const auto element = static_cast<double>(size_of(storage));
  const double x = pass == ConvPass::input_gradient ? 4 : element;
  const double y = pass == ConvPass::forward ? 4 : element;
  const double bytes =
      2 * points * (tiles * (x * ci + y * co) + element * ci * co) +
      element * static_cast<double>(g.n) * static_cast<double>(g.h * g.w * g.ci + h * w * g.co);
  return points * tiles * ci * co * product_cost(storage) + byte_cost(isa, storage) * bytes;
}

}  // namespace

ConvChoice choose_conv(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage) {
  conv::check(g);
  if (!conv::winograd_serves(g)) return {0, "direct: Winograd serves 3x3 at stride 1 in one group only"};
  if (storage.in != storage.out) return {0, "direct: products of f32 for a result of bf16"};
  const bool half = storage.in == DType::bf16;
  const double direct = direct_cost(g, storage.in);
  constexpr std::array<std::int64_t, 2> kTiles = {3, 4};
  std::array<double, 2> relative{};
  for (std::size_t i = 0; i < kTiles.size(); ++i)
    relative.at(i) = winograd_cost(g, pass, kTiles.at(i), isa, storage.in) / direct;
  // In bf16 F(4x4) is not admitted: docs/decisions/0004-bf16.md.
  const std::size_t best = relative[1] < relative[0] && !half ? 1 : 0;
  const std::int64_t m = kTiles.at(best);
  if (relative.at(best) >= 1) {
    return {0, fmt::format("direct: F({0}x{0}) would cost {1:.2f} times as much", m, relative.at(best))};
  }
  if (half) return {m, fmt::format("F({0}x{0}) at {1:.2f} of the direct cost", m, relative.at(best))};
  return {m, fmt::format("F({0}x{0}) at {1:.2f} of the direct cost; F({2}x{2}) {3:.2f}", m, relative.at(best),
                         kTiles.at(1 - best), relative.at(1 - best))};
}

std::unique_ptr<Kernel> make_conv(const ConvGeometry& g, ConvPass pass, Isa isa, std::int64_t tile,
                                  ConvStorage storage) {
  conv::check(g);
  check_storage(storage.in, isa);
  check_storage(storage.out, isa);
  if (storage.in == DType::bf16 && storage.out != DType::bf16)
    throw ShapeError("no convolution of bf16 to f32");
  if (tile != 0) {
    if (!conv::winograd_serves(g) || (tile != 3 && tile != 4) || storage.in != storage.out) {
      throw ShapeError("no Winograd kernel serves this convolution");
    }
    return conv::make_winograd(g, pass, tile, isa, storage.in);
  }
  if (pass == ConvPass::weight_gradient) return conv::make_patch_weight_gradient(g, isa, storage);
  return conv::make_patch_product(g, pass, isa, storage);
}

}  // namespace resnet::kernels
