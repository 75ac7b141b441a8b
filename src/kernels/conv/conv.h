// Convolution (cross-correlation) of any rectangular kernel, stride, padding, dilation and grouping:
// forward, gradient of the input, gradient of the weights. A linear layer is the case
// h = w = kh = kw = 1.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

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

/// What activations are stored as, f32 or bf16: x and y, dy and dx, or x and dy of the weight gradient.
/// Weights and bias are f32. bf16 needs avx512_bf16, and `out` is bf16 where `in` is. Products are of bf16
/// where `in` is and its channels make pairs; where `out` is, in the weight gradient, and in a forward pass
/// of one group with an odd number of channels and of kernel columns and, along the row, an even stride and
/// no dilation. The algorithm for several groups multiplies in f32 what is stored as bf16.
struct ConvStorage {
  DType in = DType::f32, out = DType::f32;
};

/// What a convolution does of the batch norms beside it (norm.h has their operands), and of an addition: its
/// fused prologue and epilogue.
struct ConvFusion {
  bool norm = false;  // forward, weight gradient: x is what a norm reads, whose result the convolution sees,
  bool relu = false;  // behind a ReLU
  bool moments = false;        // forward: sums up those of y, by Winograd's before bf16 rounds it
  bool norm_epilogue = false;  // forward, without moments: y goes through a norm,
  bool add = false;            // input gradient: adds a to dx; forward: to the norm's result,
  bool relu_epilogue = false;  // forward: and through a ReLU
  // input gradient: dx (+ a) is the gradient dz of a norm behind a ReLU, is made zero where the norm's result
  // is zero or less, and its sums are taken. The gate follows from the norm's coefficients, or is a mask.
  enum class Sums : std::uint8_t { none, by_coefficients, by_relu_mask } sums = Sums::none;
  bool norm_gradient = false;  // weight gradient: dy is made from the gradient dz of a norm

  /// Whether it takes sums of its results.
  bool any_stats() const noexcept { return moments || sums != Sums::none; }
  bool any_norm() const noexcept { return norm || norm_gradient || norm_epilogue || any_stats(); }
};

/// Throws ShapeError if `g` is not a convolution: an extent below one, negative padding, channels that are no
/// multiple of the groups, a kernel larger than the padded image, tables or tensors out of all proportion.
void check_conv(const ConvGeometry& g);

/// One way to compute convolutions. Its kernels are on the layouts of kernel.h. Operands, those in brackets
/// where they are fused:
///   forward          x, w, bias (optional), [norm: coefficients [3,Ci]],
///                    [norm_epilogue: coefficients [3,Co]], [add: a, not y's memory]
///                    -> y, [moments [3,Co]]
///   input gradient   dy, w, [add: a], [sums: the norm's x, by_coefficients: its coefficients [3,Ci] |
///                    by_relu_mask: its mean [Ci], mask]
///                    -> dx, [sums [3,Ci]]; dx may be a's memory
///   weight gradient  x, dy or [norm_gradient: dz], [norm: coefficients [3,Ci]],
///                    [norm_gradient: the norm's x, its gradient coefficients [4,Co]]
///                    -> dw, [norm_gradient: dy, which may be in the memory of the norm's x or of dz]
class ConvAlgorithm {
 public:
  virtual ~ConvAlgorithm() = default;

  /// As the reasons of plans name it, e.g. "direct" or "F(4x4)".
  virtual std::string_view name() const noexcept = 0;
  /// Why it does not compute this pass; empty if it does.
  virtual std::string_view refusal(const ConvGeometry& g, ConvPass pass,
                                   ConvStorage storage) const noexcept = 0;
  bool serves(const ConvGeometry& g, ConvPass pass, ConvStorage storage) const noexcept {
    return refusal(g, pass, storage).empty();
  }
  /// In multiply-adds at the machine's peak. It follows from shape and storage alone, so that a plan is the
  /// same text on every machine.
  virtual double cost(const ConvGeometry& g, ConvPass pass, ConvStorage storage) const noexcept = 0;
  /// Whether its kernel does all of `fusion` too.
  bool fuses(const ConvGeometry& g, ConvPass pass, ConvStorage storage,
             const ConvFusion& fusion) const noexcept;
  /// Throws ShapeError if `g` is not a convolution, or not one that it serves, or if it does not fuse all of
  /// `fusion`; ConfigError if these instructions do not serve the storage.
  std::unique_ptr<Kernel> make(const ConvGeometry& g, ConvPass pass, Isa isa, ConvStorage storage = {},
                               const ConvFusion& fusion = {}) const;

 protected:
  ConvAlgorithm() = default;
  ConvAlgorithm(const ConvAlgorithm&) = default;
  ConvAlgorithm& operator=(const ConvAlgorithm&) = default;

 private:
  /// The same of what the pass has and the algorithm serves.
  virtual bool fuses_in(const ConvGeometry& g, const ConvFusion& fusion) const noexcept = 0;
  virtual std::unique_ptr<Kernel> make_served(const ConvGeometry& g, ConvPass pass, Isa isa,
                                              ConvStorage storage, const ConvFusion& fusion) const = 0;
};

/// All of them, in the order in which the first of equal cost is chosen: the direct one, which serves all
/// but absurd ones, then Winograd's F(3x3), F(4x4) and F(6x6) and its kin for stride 2, parity, then the one
/// for several groups.
std::span<const ConvAlgorithm* const> conv_algorithms() noexcept;

/// How a pass is computed, and why.
struct ConvChoice {
  const ConvAlgorithm* algorithm = nullptr;  // never null, of static life
  std::string reason;
};

/// The cheapest one. Throws ShapeError if `g` is not a convolution, or none serves it.
ConvChoice choose_conv(const ConvGeometry& g, ConvPass pass, ConvStorage storage = {});

}  // namespace resnet::kernels
