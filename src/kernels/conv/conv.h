// Convolution (cross-correlation) of any rectangular kernel, stride, padding, dilation and grouping:
// forward, gradient of the input, gradient of the weights. A linear layer is the case
// h = w = kh = kw = 1.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

struct ConvGeometry {
  std::int64_t n = 1;           // images
  std::int64_t ci = 1, co = 1;  // channels in and out
  std::int64_t h = 1, w = 1;    // input pixels
  std::int64_t kh = 1, kw = 1;  // kernel pixels
  std::int64_t sh = 1, sw = 1;  // stride
  std::int64_t ph = 0, pw = 0;  // zero pixels per side
  std::int64_t dh = 1, dw = 1;  // dilation
  std::int64_t groups = 1;      // ci and co are multiples of it

  std::int64_t ho() const noexcept { return (h + 2 * ph - dh * (kh - 1) - 1) / sh + 1; }
  std::int64_t wo() const noexcept { return (w + 2 * pw - dw * (kw - 1) - 1) / sw + 1; }
  /// Multiplications and additions of one pass, every tap counted also where it meets padding.
  double flops() const noexcept {
    return 2.0 * static_cast<double>(n * ho() * wo() * co) * static_cast<double>(kh * kw * (ci / groups));
  }
};

/// Readable references in double on the public layouts: x [N,Ci,H,W], w [Co,Ci/groups,Kh,Kw],
/// y [N,Co,Ho,Wo]. `bias` [Co] may have null data. The gradients overwrite their result.
void reference_conv_forward(const ConvGeometry& g, View<const double> x, View<const double> w,
                            View<const double> bias, View<double> y);
void reference_conv_input_gradient(const ConvGeometry& g, View<const double> dy, View<const double> w,
                                   View<double> dx);
void reference_conv_weight_gradient(const ConvGeometry& g, View<const double> x, View<const double> dy,
                                    View<double> dw);

enum class ConvPass : std::uint8_t { forward, input_gradient, weight_gradient };

/// How a pass is computed, and why.
struct ConvChoice {
  // m x m outputs of a tile of Winograd's F(m x m, 3 x 3), 3 or 4, for gradients of f32 also 6, or of its kin
  // for stride 2, 3; 0: the direct product of patches
  std::int64_t tile = 0;
  std::string reason;
};

/// What activations are stored as, f32 or bf16: x and y, dy and dx, or x and dy of the weight gradient.
/// Weights and bias are f32. bf16 needs avx512_bf16, and `out` is bf16 where `in` is. Products are of bf16
/// where `in` is and its channels make pairs; where `out` is, in the weight gradient, and in a forward pass
/// of one group with an odd number of channels and of kernel columns and, along the row, an even stride and
/// no dilation.
struct ConvStorage {
  DType in = DType::f32, out = DType::f32;
};

/// What a convolution does for the batch norms beside it (norm.h has their tables), and for an addition.
struct ConvCarried {
  bool norm = false;  // forward, weight gradient: x is what a norm reads, whose result the convolution sees,
  bool relu = false;  // behind a ReLU
  bool moments = false;  // forward: gathers those of y
  bool add = false;      // input gradient: adds a to dx
  // input gradient: dx (+ a) is the gradient dz of a norm behind a ReLU, is made zero where the norm's result
  // is not positive, and its sums are gathered. The gate is the norm's table, or signs.
  enum class Sums : std::uint8_t { none, by_table, by_signs } sums = Sums::none;
  bool norm_gradient = false;  // weight gradient: dy is made from the gradient dz of a norm

  /// Whether it gathers sums of its results.
  bool gathers() const noexcept { return moments || sums != Sums::none; }
  bool any_norm() const noexcept { return norm || norm_gradient || gathers(); }
};

/// The cheapest way by a cost rule of shape and storage alone. Throws ShapeError if `g`
/// is not a convolution.
ConvChoice choose_conv(const ConvGeometry& g, ConvPass pass, ConvStorage storage = {});
/// Whether the kernel of that choice carries what its pass can.
bool conv_carries(const ConvGeometry& g, std::int64_t tile, const ConvCarried& carried);

/// Native kernels on the layouts of kernel.h. Operands, those in brackets where they are carried:
///   forward          x, w, bias (optional), [norm: table [3,Ci]] -> y, [moments [3,Co]]
///   input gradient   dy, w, [add: a], [sums: the norm's x, by_table: its table [3,Ci] | by_signs: its mean
///                    [Ci], signs] -> dx, [sums [3,Ci]]; dx may be a's memory
///   weight gradient  x, dy or [norm_gradient: dz], [norm: table [3,Ci]], [norm_gradient: the norm's x, its
///                    gradient table [4,Co]] -> dw, [norm_gradient: dy, perhaps in the norm's x's or dz's
///                    memory]
/// `tile` as in ConvChoice; Winograd serves 3x3 kernels at stride 1 or 2 without dilation and groups, and
/// anything else throws ShapeError, as does Winograd from f32 to bf16. Where tile is 0, moments and sums are
/// gathered if there is one group, and neither norm nor norm_gradient is carried.
std::unique_ptr<Kernel> make_conv(const ConvGeometry& g, ConvPass pass, Isa isa, std::int64_t tile,
                                  ConvStorage storage = {}, const ConvCarried& carried = {});

}  // namespace resnet::kernels
