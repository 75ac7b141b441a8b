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
    return static_cast<double>(g.n * g.co) * static_cast<double>(g.ci / g.groups) * valid_taps(g) *
           product_cost(pairs ? storage.in : DType::f32);
  }

 private:
  /// It has norm statistics where groups is 1, and reads and writes nothing through a norm.
  bool fuses_in(const ConvGeometry& g, const ConvFusion& fusion) const noexcept override {
    return !fusion.norm && !fusion.norm_gradient && (!fusion.gathers() || g.groups == 1);
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
