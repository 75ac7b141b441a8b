// Which algorithm computes a convolution: a cost rule of shape and storage alone, so that a plan is the same
// text on every machine.
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/conv/direct/index_tables.h"
#include "kernels/conv/direct/repack.h"
#include "kernels/conv/winograd/winograd.h"
#include "kernels/index_table.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

// Costs are counted in multiply-adds at the machine's peak. Both products run at about 0.95 of it. A byte
// that a transform reads or writes costs as much as some 3 multiply-adds of one core on a Zen 4, in
// bf16 1.6; 2.4 sends to parity what is equal there and faster on a Zen 5. With AVX2, on a Zen 2, parity is
// faster in all passes of the three layers of stride 2 at that rate (6, measured on a Zen 3 for stride 1
// alone, left them direct).
constexpr double kProducts = 0.95;
double byte_cost(DType storage) {
  return storage == DType::bf16 ? 1.6 : 2.4;
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

double direct_cost(const ConvGeometry& g, ConvPass pass, DType storage) {
  // Numbers that make no pairs are multiplied as f32.
  const std::int64_t channels = (pass == ConvPass::input_gradient ? g.co : g.ci) / g.groups;
  const bool pairs = pass == ConvPass::weight_gradient || channels % 2 == 0 ||
                     (pass == ConvPass::forward && conv::pairs_rows(g));
  if (!pairs) storage = DType::f32;
  const double taps =
      valid_taps(g.h, g.ho(), g.kh, g.sh, g.ph, g.dh) * valid_taps(g.w, g.wo(), g.kw, g.sw, g.pw, g.dw);
  return static_cast<double>(g.n * g.co) * static_cast<double>(g.ci / g.groups) * taps *
         product_cost(storage);
}

double winograd_cost(const ConvGeometry& g, ConvPass pass, std::int64_t m, DType storage) {
  // At stride 2 an input gradient's tile is that of m x m outputs.
  const bool gradient = pass == ConvPass::input_gradient && g.sh == 1;
  const std::int64_t h = gradient ? g.h : g.ho(), w = gradient ? g.w : g.wo();
  const std::int64_t axis_points = g.sh == 1 ? m + 2 : 2 * m + 1, axis_matrices = g.sh == 1 ? m + 2 : 5;
  const auto points = static_cast<double>(axis_points * axis_points);
  const auto matrices = static_cast<double>(axis_matrices * axis_matrices);
  const auto tiles = static_cast<double>(g.n * ceil_div(h, m) * ceil_div(w, m));
  const auto ci = static_cast<double>(g.ci), co = static_cast<double>(g.co);
  // Transformed images and weights, or sums, are written and read once each, pixels once; sums are f32.
  const auto element = static_cast<double>(size_of(storage));
  const double x = pass == ConvPass::input_gradient ? 4 : element;
  const double y = pass == ConvPass::forward ? 4 : element;
  const double bytes =
      2 * points * tiles * (x * ci + y * co) +
      2 * matrices * (pass == ConvPass::weight_gradient ? 4 : element) * ci * co +
      element * static_cast<double>(g.n) * static_cast<double>(g.h * g.w * g.ci + h * w * g.co);
  return points * tiles * ci * co * product_cost(storage) + byte_cost(storage) * bytes;
}

// Winograd's kernels carry all that a pass can; direct ones gather where there is one group, and read and
// write nothing through a norm.
bool serves(const ConvCarried& carried, const ConvGeometry& g, std::int64_t tile) noexcept {
  return tile != 0 || (!carried.norm && !carried.norm_gradient && (!carried.gathers() || g.groups == 1));
}

}  // namespace

ConvChoice choose_conv(const ConvGeometry& g, ConvPass pass, ConvStorage storage) {
  conv::check(g);
  if (!conv::winograd_serves(g)) return {0, "direct: Winograd serves 3x3 at stride 1 or 2 in one group only"};
  if (storage.in != storage.out) return {0, "direct: x is f32, dy or y bf16"};
  const double direct = direct_cost(g, pass, storage.in);
  const auto relative = [&](std::int64_t m) { return winograd_cost(g, pass, m, storage.in) / direct; };
  const auto name = [&](std::int64_t m) {
    return g.sh == 2 ? std::string("parity") : fmt::format("F({0}x{0})", m);
  };
  std::vector<std::int64_t> tiles;
  for (const std::int64_t m : {3, 4, 6}) {
    if (conv::winograd_serves(g, pass, m, storage.in)) tiles.push_back(m);
  }
  std::ranges::stable_sort(tiles, {}, relative);
  const std::int64_t m = tiles.front();
  if (relative(m) >= 1)
    return {0, fmt::format("direct: {} would cost {:.2f} times as much", name(m), relative(m))};
  std::string reason = fmt::format("{} at {:.2f} of the direct cost", name(m), relative(m));
  for (std::size_t i = 1; i < tiles.size(); ++i)
    reason += fmt::format("; {} {:.2f}", name(tiles[i]), relative(tiles[i]));
  return {m, std::move(reason)};
}

bool conv_carries(const ConvGeometry& g, std::int64_t tile, const ConvCarried& carried) {
  return serves(carried, g, tile);
}

std::unique_ptr<Kernel> make_conv(const ConvGeometry& g, ConvPass pass, Isa isa, std::int64_t tile,
                                  ConvStorage storage, const ConvCarried& carried) {
  conv::check(g);
  const bool forward = pass == ConvPass::forward, sums = carried.sums != ConvCarried::Sums::none;
  if (((carried.add || sums) && pass != ConvPass::input_gradient) || (carried.moments && !forward) ||
      (carried.norm_gradient && pass != ConvPass::weight_gradient) ||
      (carried.norm && pass == ConvPass::input_gradient) || !serves(carried, g, tile)) {
    throw ShapeError("this pass of a convolution does not carry that");
  }
  check_storage(storage.in, isa);
  check_storage(storage.out, isa);
  if (storage.in == DType::bf16 && storage.out != DType::bf16)
    throw ShapeError("no convolution of bf16 to f32");
  if (tile != 0) {
    if (!conv::winograd_serves(g, pass, tile, storage.in) || storage.in != storage.out) {
      throw ShapeError("no Winograd kernel serves this convolution");
    }
    return conv::make_winograd(g, pass, tile, isa, storage.in, carried);
  }
  if (pass == ConvPass::weight_gradient) return conv::make_patch_weight_gradient(g, isa, storage);
  return conv::make_patch_product(g, pass, isa, storage, carried);
}

}  // namespace resnet::kernels
