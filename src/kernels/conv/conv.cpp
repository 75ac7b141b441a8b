#include "kernels/conv/conv.h"

#include <algorithm>
#include <string>

#include "kernels/conv/direct/index_tables.h"
#include "kernels/simd/storage.h"
#include "resnet/error.h"

namespace resnet::kernels {
namespace {

bool has(ConvPass pass, const ConvFusion& fusion) noexcept {
  const bool sums = fusion.sums != ConvFusion::Sums::none;
  if (fusion.norm_epilogue) {
    return pass == ConvPass::forward && !fusion.moments && !sums && !fusion.norm_gradient;
  }
  if (fusion.relu_epilogue) return false;
  switch (pass) {
    case ConvPass::forward:
      return !fusion.add && !sums && !fusion.norm_gradient;
    case ConvPass::input_gradient:
      return !fusion.norm && !fusion.moments && !fusion.norm_gradient;
    case ConvPass::weight_gradient:
      return !fusion.add && !sums && !fusion.moments;
  }
  return false;
}

}  // namespace

void check_conv(const ConvGeometry& g) {
  const std::int64_t least =
      std::min({g.n, g.ci, g.co, g.h, g.w, g.kh, g.kw, g.sh, g.sw, g.dh, g.dw, g.groups});
  if (least < 1) throw ShapeError("convolution: an extent, stride, dilation or number of groups below 1");
  if (g.ph < 0 || g.pw < 0) throw ShapeError("convolution: negative padding");
  if (g.ci % g.groups != 0 || g.co % g.groups != 0) {
    throw ShapeError("convolution: " + std::to_string(g.ci) + " to " + std::to_string(g.co) +
                     " channels are not divisible into " + std::to_string(g.groups) + " groups");
  }
  constexpr std::int64_t kFar = std::int64_t{1} << 30;  // keeps the sums below from overflowing
  if (std::max({g.h, g.w, g.kh, g.kw, g.sh, g.sw, g.ph, g.pw, g.dh, g.dw}) > kFar) {
    throw ShapeError("convolution: a spatial extent above 2^30");
  }
  if (g.h + 2 * g.ph < g.dh * (g.kh - 1) + 1 || g.w + 2 * g.pw < g.dw * (g.kw - 1) + 1) {
    throw ShapeError("convolution: a kernel of " + std::to_string(g.kh) + "x" + std::to_string(g.kw) +
                     " is larger than the padded image of " + std::to_string(g.h + 2 * g.ph) + "x" +
                     std::to_string(g.w + 2 * g.pw));
  }
  static_cast<void>(Shape{g.n, g.h, g.w, g.ci});  // throw if they are too large
  static_cast<void>(Shape{g.n, g.ho(), g.wo(), g.co});
  static_cast<void>(Shape{g.kh, g.kw, g.ci, g.co});
  if (!conv::coordinates_fit(g)) {
    throw ShapeError("convolution: an image of " + std::to_string(g.h) + "x" + std::to_string(g.w) +
                     ", padded with " + std::to_string(g.ph) + "x" + std::to_string(g.pw) +
                     ", is too long for its tables");
  }
  if (!conv::tables_fit(g, ConvPass::forward)) {
    throw ShapeError("convolution: a kernel of " + std::to_string(g.kh) + "x" + std::to_string(g.kw) +
                     " meets the border of its image in too many ways");
  }
}

bool ConvAlgorithm::fuses(const ConvGeometry& g, ConvPass pass, ConvStorage storage,
                          const ConvFusion& fusion) const noexcept {
  return has(pass, fusion) && serves(g, pass, storage) && fuses_in(g, fusion);
}

std::unique_ptr<Kernel> ConvAlgorithm::make(const ConvGeometry& g, ConvPass pass, Isa isa,
                                            ConvStorage storage, const ConvFusion& fusion) const {
  check_conv(g);
  check_storage(storage.in, isa);
  check_storage(storage.out, isa);
  const std::string_view refused = refusal(g, pass, storage);
  if (!refused.empty())
    throw ShapeError("no convolution by " + std::string(name()) + ": " + std::string(refused));
  if (!fuses(g, pass, storage, fusion))
    throw ShapeError("a convolution by " + std::string(name()) + " does not fuse that in this pass");
  return make_served(g, pass, isa, storage, fusion);
}

}  // namespace resnet::kernels
