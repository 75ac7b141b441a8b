#include "kernels/conv/stem/stem.h"

#include <array>

#include "kernels/conv/stem/strips.h"
#include "resnet/error.h"

namespace resnet::kernels {
namespace conv {
namespace {

// Products of an element of y. What these kernels save is its traffic, some 28 bytes: y and its gradient are
// stored, and loaded for statistics and pool, the gradient's sums, its application and dw; what they add,
// sums of products of x, grows with the products. Measured on a Zen 2 at 7x7/2, 64 channels: with 49 products
// they take 0.52 (N 256, 96x96) and 0.57 (N 64, 224x224) of the time of the kernels one after the other, with
// 147 they take 0.94 and 0.93.
constexpr std::int64_t kMostProducts = 160;

class Strips final : public ConvPoolAlgorithm {
 public:
  std::string_view name() const noexcept override { return "strips"; }
  bool serves(const ConvGeometry& g, const PoolGeometry& pool) const noexcept override {
    if (!pools(g, pool) || g.kh * g.kw * g.ci > kMostProducts) return false;
    const std::int64_t again = overlap(pool), windows = fitting_windows(pool, kWidestPanel, kWideStripBytes);
    const std::int64_t floats = (windows * pool.sh + again) * pool.w * kWidestPanel;
    return floats * std::int64_t{sizeof(float)} <= kWideStripBytes && 8 * again <= windows * pool.sh;
  }
  std::string_view reason(ConvPass pass) const noexcept override {
    return pass == ConvPass::forward ? "strips in L2, of which only what the pool chooses is stored"
                                     : "without y, from products of x with itself";
  }
  std::unique_ptr<Kernel> make(const ConvGeometry& g, const PoolGeometry& pool, ConvPass pass, Isa isa,
                               ConvStorage storage) const override {
    switch (pass) {
      case ConvPass::forward:
        return make_stem_forward(g, pool, isa, storage);
      case ConvPass::weight_gradient:
        return make_stem_weight_gradient(g, pool, isa, storage);
      case ConvPass::input_gradient:
        break;
    }
    throw ShapeError("a convolution and its pool have no input gradient as one");
  }
};

}  // namespace
}  // namespace conv

std::span<const ConvPoolAlgorithm* const> conv_pool_algorithms() noexcept {
  static const conv::Strips strips;
  static const std::array<const ConvPoolAlgorithm*, 1> list = {&strips};
  return list;
}

const ConvPoolAlgorithm* choose_conv_pool(const ConvGeometry& g, const PoolGeometry& pool) noexcept {
  for (const ConvPoolAlgorithm* algorithm : conv_pool_algorithms()) {
    if (algorithm->serves(g, pool)) return algorithm;
  }
  return nullptr;
}

}  // namespace resnet::kernels
