#include "kernels/conv/winograd/winograd.h"

#include "kernels/conv/winograd/grid.h"

namespace resnet::kernels::conv {

bool winograd_serves(const ConvGeometry& g) noexcept {
  return g.kh == 3 && g.kw == 3 && g.sh == g.sw && g.sh <= 2 && g.dh == 1 && g.dw == 1 && g.groups == 1 &&
         g.ph <= 2 && g.pw <= 2;
}

bool winograd_serves(const ConvGeometry& g, ConvPass pass, std::int64_t m, DType storage) noexcept {
  if (!winograd_serves(g)) return false;
  if (m == 6) return g.sh == 1 && pass != ConvPass::forward && storage == DType::f32;
  return m == 3 || (m == 4 && g.sh == 1);
}

std::unique_ptr<Kernel> make_winograd(const ConvGeometry& g, ConvPass pass, std::int64_t m, Isa isa,
                                      DType storage, const ConvCarried& carried) {
  if (pass == ConvPass::weight_gradient) return winograd::make_weight_gradient(g, m, isa, storage, carried);
  return winograd::make_product(g, pass == ConvPass::forward, m, isa, storage, carried);
}

}  // namespace resnet::kernels::conv
