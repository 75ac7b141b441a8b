#include "kernels/conv/direct/direct.h"

#include "kernels/conv/cost.h"
#include "kernels/conv/direct/index_tables.h"
#include "kernels/conv/direct/repack.h"

namespace resnet::kernels::conv {
namespace {

class Direct final : public ConvAlgorithm {
 public:
  std::string_view name() const noexcept override { return "direct"; }
  std::string_view refusal(const ConvGeometry& g, ConvPass pass,
                           ConvStorage storage) const noexcept override {
    if (storage.in == DType::bf16 && storage.out != DType::bf16) return "x is bf16, the result f32";
    if (!tables_fit(g, pass)) return "the kernel meets the border of its image in too many ways";
    return "";
  }
  double cost(const ConvGeometry& g, ConvPass pass, ConvStorage storage) const noexcept override {
    // Numbers that make no pairs are multiplied as f32.
    const std::int64_t channels = (pass == ConvPass::input_gradient ? g.co : g.ci) / g.groups;
    const bool pairs = pass == ConvPass::weight_gradient || channels % 2 == 0 ||
                       (pass == ConvPass::forward && pairs_rows(g));
    const double products = static_cast<double>(g.n * g.co) * static_cast<double>(g.ci / g.groups) *
                            valid_taps(g) * product_cost(pairs ? storage.in : DType::f32);
    return g.groups == 1 ? products : cost_in_groups(g, pass, products);
  }

 private:
  /// A group computes by itself, in tiles of which it fills a part. Measured on an Emerald Rapids, 3x3, 1 to
  /// 64 channels a group: what a pixel takes beside its products, and what a product takes where a tile is
  /// one vector wide, which waits for its sums, or more.
  static double cost_in_groups(const ConvGeometry& g, ConvPass pass, double products) noexcept {
    constexpr std::int64_t kVector = 16;
    const bool forward = pass != ConvPass::input_gradient, gradient = pass == ConvPass::weight_gradient;
    const std::int64_t results = (forward ? g.co : g.ci) / g.groups,
                       vectors = (results + kVector - 1) / kVector;
    const double pixels =
        static_cast<double>(g.n * g.groups) * static_cast<double>(forward ? g.ho() * g.wo() : g.h * g.w);
    const double filled = static_cast<double>(results) / static_cast<double>(vectors * kVector);
    return pixels * (gradient ? 1900 : 430) + products / filled *
                                                  (gradient       ? 1.8
                                                   : vectors == 1 ? 1.4
                                                                  : 1.05);
  }
  /// It has norm statistics where groups is 1, and reads and writes nothing through a norm.
  bool fuses_in(const ConvGeometry& g, const ConvFusion& fusion) const noexcept override {
    return !fusion.norm && !fusion.norm_gradient && (!fusion.any_stats() || g.groups == 1);
  }
  std::unique_ptr<Kernel> make_served(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage,
                                      const ConvFusion& fusion) const override {
    if (pass == ConvPass::weight_gradient) return make_direct_weight_gradient(g, isa, storage);
    return make_direct_product(g, pass, isa, storage, fusion);
  }
};

}  // namespace

const ConvAlgorithm& direct_algorithm() noexcept {
  static const Direct direct;
  return direct;
}

}  // namespace resnet::kernels::conv
