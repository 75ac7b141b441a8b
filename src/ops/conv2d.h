// conv2d and linear with their two gradients each: one algebra, since a linear layer is the
// convolution of a 1x1 map by a 1x1 kernel.
#pragma once

#include "kernels/conv/conv.h"
#include "ops/rules.h"

namespace resnet::ops {

/// What a convolution's three passes have in common; without meaning for a linear layer.
struct ConvWindow {
  Pair stride = {1, 1}, padding = {0, 0}, dilation = {1, 1};  // pixels
  std::int64_t groups = 1;
};

/// Of x [N,Ci,H,W] and w [Co,Ci/groups,Kh,Kw]. Throws ShapeError.
kernels::ConvGeometry conv_geometry(const ConvWindow& window, const Shape& x, const Shape& w);

struct ConvOptions {
  ConvWindow window = {};
  // Fused by the compiler:
  bool norm_prologue = false;  // x is a batch norm's input; its coefficients are applied where x is read,
  bool relu_prologue = false;  // and a ReLU
  bool statistics = false;     // the moments of y are a further output
  bool norm_epilogue = false;  // y is the result behind a batch norm of known statistics,
  bool residual = false;       // plus a residual,
  bool relu_epilogue = false;  // behind a ReLU
  bool fuses() const noexcept { return norm_prologue || statistics || norm_epilogue || residual; }
};
struct ConvInput {
  enum : std::size_t { x, w, bias, coefficients, epilogue_coefficients, residual };
};
struct ConvOutput {
  enum : std::size_t { y, moments };
};

/// x [N,Ci,H,W], w [Co,Ci/groups,Kh,Kw], bias [Co] -> y [N,Co,Ho,Wo]; linear: x [N,in], w [out,in] -> y
/// [N,out].
template <bool kLinear>
class ConvForward final : public ReadableOperation<ConvForward<kLinear>> {
 public:
  static constexpr std::string_view kName = kLinear ? "linear" : "conv2d";
  static constexpr std::array<std::string_view, 6> kInputs = {
      "x", "w", "b", "coefficients", "coefficients behind", "residual"};
  explicit ConvForward(ConvOptions options = {}) : options_(options) {}
  static Op read(const Attributes& attributes);
  const ConvOptions& options() const noexcept { return options_; }
  kernels::ConvGeometry geometry(const Signature& s) const;

  Attributes attributes() const override;
  std::size_t listed_inputs() const noexcept override { return ConvInput::coefficients; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Cost cost(const Signature& s) const override { return {geometry(s).flops()}; }
  Use use_of(std::size_t input) const noexcept override {
    return input == ConvInput::x ? Use::activation : input == ConvInput::w ? Use::weight : Use::channels;
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  ConvOptions options_;
};

struct ConvInputGradientOptions {
  ConvWindow window = {};
  Shape x;  // of the input whose gradient this is
  // Fused by the compiler:
  bool add = false;        // dx + addend
  Gate sums = Gate::none;  // dx is the gradient dz of a batch norm behind a ReLU, by mask or coefficients: it
                           // is gated, and the norm's sums of it are a further output
};
struct ConvInputGradientInput {
  enum : std::size_t { dy, w, addend, norm_x, coefficients, mean, mask };
};
struct ConvInputGradientOutput {
  enum : std::size_t { dx, sums };
};

template <bool kLinear>
class ConvInputGradient final : public CompiledOperation<ConvInputGradient<kLinear>> {
 public:
  static constexpr std::string_view kName = kLinear ? "linear_input_gradient" : "conv2d_input_gradient";
  static constexpr std::array<std::string_view, 7> kInputs = {"dy",           "w",    "addend", "norm's x",
                                                              "coefficients", "mean", "mask"};
  explicit ConvInputGradient(ConvInputGradientOptions options) : options_(std::move(options)) {}
  const ConvInputGradientOptions& options() const noexcept { return options_; }
  kernels::ConvGeometry geometry(const Signature& s) const;

  std::size_t listed_inputs() const noexcept override { return ConvInputGradientInput::addend; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  Cost cost(const Signature& s) const override { return {geometry(s).flops()}; }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
  std::optional<Fusion> with_epilogue(const Operation& next, std::size_t slot) const override;

 private:
  ConvInputGradientOptions options_;
};

struct ConvWeightGradientOptions {
  ConvWindow window = {};
  Shape w;  // of the weights whose gradient this is
  // Fused by the compiler:
  bool norm_prologue = false, relu_prologue = false;  // of x, as ConvOptions has them
  bool norm_gradient_prologue = false;  // dy is made of a batch norm's dz, x and gradient coefficients, and
                                        // is a further output
};
struct ConvWeightGradientInput {
  enum : std::size_t { x, dy, coefficients, norm_x, gradient_coefficients };
};
struct ConvWeightGradientOutput {
  enum : std::size_t { dw, dy };
};

template <bool kLinear>
class ConvWeightGradient final : public CompiledOperation<ConvWeightGradient<kLinear>> {
 public:
  static constexpr std::string_view kName = kLinear ? "linear_weight_gradient" : "conv2d_weight_gradient";
  static constexpr std::array<std::string_view, 5> kInputs = {"x", "dy", "coefficients", "norm's x",
                                                              "gradient coefficients"};
  explicit ConvWeightGradient(ConvWeightGradientOptions options) : options_(std::move(options)) {}
  const ConvWeightGradientOptions& options() const noexcept { return options_; }
  kernels::ConvGeometry geometry(const Signature& s) const;

  std::size_t listed_inputs() const noexcept override { return ConvWeightGradientInput::coefficients; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  Cost cost(const Signature& s) const override { return {geometry(s).flops()}; }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  ConvWeightGradientOptions options_;
};

using Conv2d = ConvForward<false>;
using Conv2dInputGradient = ConvInputGradient<false>;
using Conv2dWeightGradient = ConvWeightGradient<false>;
using Linear = ConvForward<true>;
using LinearInputGradient = ConvInputGradient<true>;
using LinearWeightGradient = ConvWeightGradient<true>;

}  // namespace resnet::ops
