#include "kernels/conv/grouped/grouped.h"

#include <algorithm>

#include "kernels/conv/grouped/spread.h"
#include "kernels/offset.h"

namespace resnet::kernels::conv {
namespace {

using namespace grouped;

constexpr std::int64_t kWidestVector = 16;  // plans are the same text for all instructions
constexpr std::int64_t kWideGroup = 64;     // channels, as the direct kernel's tile

// Measured on an Emerald Rapids, in multiply-adds at the peak (docs/performance.md): what a product costs of
// them; a lane of a spread vector, whose source comes from L2 or beyond; a number spread as such; and a lane
// of a result, or of dy where it is packed.
constexpr double kProduct = 1.3, kSpreadLane = 11, kSpreadNumber = 22, kStoreLane = 8, kPackLane = 24;
// Narrow blocks of a strided pass spread what they share again.
constexpr double kStrided = 1.6;

class Grouped final : public ConvAlgorithm {
 public:
  std::string_view name() const noexcept override { return "grouped"; }
  std::string_view refusal(const ConvGeometry& g, ConvPass pass,
                           ConvStorage storage) const noexcept override {
    if (g.groups == 1) return "it is for several groups";
    if (storage.in == DType::bf16 && storage.out != DType::bf16) return "x is bf16, the result f32";
    if (g.co / g.groups >= kWideGroup && g.ci / g.groups >= kWideGroup)
      return "a group fills the direct kernel's tile";
    const bool forward = pass != ConvPass::input_gradient;
    // Bytes that a tile of outputs reads, or more, with all phases of its columns.
    const double columns = static_cast<double>((kTilePixels + 2) * g.sw + g.kw * g.dw),
                 rows = static_cast<double>(std::min(g.h, g.dh * g.kh + g.sh));
    const auto channels = static_cast<double>((forward ? g.ci : g.co) / g.groups);
    if (4 * columns * rows * channels * static_cast<double>(panels_of(g, forward).unit()) > kMostBlockBytes)
      return "the kernel reads too much at once";
    if (std::max(g.w, g.wo()) > kMostOffset / std::max(g.ci, g.co)) return "a row of the image is too long";
    return "";
  }
  double cost(const ConvGeometry& g, ConvPass pass, ConvStorage) const noexcept override {
    const bool forward = pass != ConvPass::input_gradient, strided = g.sh * g.sw > 1;
    const Panels panels = panels_of(g, forward);
    const auto channels = static_cast<double>((forward ? g.ci : g.co) / g.groups);
    const auto lanes = static_cast<double>(panels.count() * kWidestVector);
    const double x = static_cast<double>(g.n) * static_cast<double>(g.h * g.w),
                 y = static_cast<double>(g.n) * static_cast<double>(g.ho() * g.wo());
    const double spread = panels.broadcast() ? static_cast<double>(panels.sets()) * kSpreadNumber
                                             : lanes * kSpreadLane * (forward && strided ? kStrided : 1);
    return lanes * channels * y * static_cast<double>(g.kh * g.kw) * kProduct +
           channels * (forward ? x : y) * spread +
           lanes * (pass == ConvPass::weight_gradient ? y * kPackLane : (forward ? y : x) * kStoreLane);
  }

 private:
  static Panels panels_of(const ConvGeometry& g, bool forward) noexcept {
    const std::int64_t ci = g.ci / g.groups, co = g.co / g.groups;
    return {forward ? ci : co, forward ? co : ci, g.groups, kWidestVector};
  }
  /// It takes no sums and reads nothing through a norm.
  bool fuses_in(const ConvGeometry&, const ConvFusion& fusion) const noexcept override {
    return !fusion.norm && !fusion.norm_gradient && !fusion.any_stats();
  }
  std::unique_ptr<Kernel> make_served(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage,
                                      const ConvFusion& fusion) const override {
    if (pass == ConvPass::weight_gradient) return make_weight_gradient(g, isa, storage);
    return make_product(g, pass, isa, storage, fusion);
  }
};

}  // namespace

const ConvAlgorithm& grouped_algorithm() noexcept {
  static const Grouped grouped;
  return grouped;
}

}  // namespace resnet::kernels::conv
