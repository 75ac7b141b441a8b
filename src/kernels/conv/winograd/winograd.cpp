#include "kernels/conv/winograd/winograd.h"

#include <algorithm>
#include <array>

#include "kernels/conv/cost.h"
#include "kernels/conv/winograd/grid.h"
#include "kernels/offset.h"

namespace resnet::kernels::conv {
namespace {

// A byte that a transform reads or writes costs as much as some 3 multiply-adds of one core on a Zen 4, in
// bf16 1.6; 2.4 sends to parity what is equal there and faster on a Zen 5. With AVX2, on a Zen 2, parity is
// faster in all passes of the three layers of stride 2 at that rate (6, measured on a Zen 3 for stride 1
// alone, left them direct).
double byte_cost(DType storage) noexcept {
  return storage == DType::bf16 ? 1.6 : 2.4;
}

/// Tiles of m x m outputs at a stride.
class Winograd final : public ConvAlgorithm {
 public:
  Winograd(std::string_view name, std::int64_t m, std::int64_t stride) noexcept
      : name_(name), m_(m), stride_(stride) {}

  std::string_view name() const noexcept override { return name_; }
  std::string_view refusal(const ConvGeometry& g, ConvPass pass,
                           ConvStorage storage) const noexcept override {
    if (g.kh != 3 || g.kw != 3 || g.sh != g.sw || g.sh > 2 || g.dh != 1 || g.dw != 1 || g.groups != 1 ||
        g.ph > 2 || g.pw > 2)
      return "Winograd serves 3x3 at stride 1 or 2 in one group only";
    if (storage.in != storage.out) return "x is f32, dy or y bf16";
    if (g.sh != stride_) return "it is for another stride";
    if (winograd::kColumnsPerTask * winograd::row_size<float>(std::max(g.ci, g.co)) > kMostOffset)
      return "the pixels of a block are too many numbers";
    if (m_ == 6 && (pass == ConvPass::forward || storage.in != DType::f32))
      return "accurate enough for gradients in f32 only";
    return "";
  }
  double cost(const ConvGeometry& g, ConvPass pass, ConvStorage storages) const noexcept override {
    const std::int64_t m = m_;
    const DType storage = storages.in;
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

 private:
  bool fuses_in(const ConvGeometry&, const ConvFusion&) const noexcept override { return true; }
  std::unique_ptr<Kernel> make_served(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage,
                                      const ConvFusion& fusion) const override {
    if (pass == ConvPass::weight_gradient)
      return winograd::make_weight_gradient(g, m_, isa, storage.in, fusion);
    return winograd::make_product(g, pass == ConvPass::forward, m_, isa, storage.in, fusion);
  }

  std::string_view name_;
  std::int64_t m_, stride_;
};

}  // namespace

std::span<const ConvAlgorithm* const> winograd_algorithms() noexcept {
  static const Winograd f3("F(3x3)", 3, 1), f4("F(4x4)", 4, 1), f6("F(6x6)", 6, 1), parity("parity", 3, 2);
  static const std::array<const ConvAlgorithm*, 4> list = {&f3, &f4, &f6, &parity};
  return list;
}

}  // namespace resnet::kernels::conv
