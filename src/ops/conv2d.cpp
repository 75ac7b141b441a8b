#include "ops/conv2d.h"

#include <algorithm>
#include <utility>

#include "kernels/norm/norm.h"
#include "ops/add.h"
#include "ops/channel_sum.h"

namespace resnet::ops {

using kernels::ConvGeometry;

ConvGeometry conv_geometry(const ConvWindow& window, const Shape& x, const Shape& w) {
  const auto& [stride, padding, dilation, groups] = window;
  expect_pair(stride, "stride", 1);
  expect_pair(padding, "padding", 0);
  expect_pair(dilation, "dilation", 1);
  expect(x.elements() > 0 && w.elements() > 0, "expected extents of at least 1");
  expect(groups >= 1 && w[0] % groups == 0 && x[1] % groups == 0,
         "expected channels that " + std::to_string(groups) + " groups divide");
  expect(x[1] == w[1] * groups,
         "expected " + std::to_string(w[1] * groups) + " input channels, got " + std::to_string(x[1]));
  ConvGeometry g{.n = x[0],
                 .ci = x[1],
                 .co = w[0],
                 .h = x[2],
                 .w = x[3],
                 .kh = w[2],
                 .kw = w[3],
                 .sh = stride.h,
                 .sw = stride.w,
                 .ph = padding.h,
                 .pw = padding.w,
                 .dh = dilation.h,
                 .dw = dilation.w,
                 .groups = groups};
  const std::int64_t reach_h = g.dh * (g.kh - 1), reach_w = g.dw * (g.kw - 1);
  expect(g.h + 2 * g.ph > reach_h && g.w + 2 * g.pw > reach_w,
         "expected an input at least as large as the kernel after padding");
  // PyTorch has no such limit; what lies farther out is the bias alone.
  expect(g.ph <= std::max(g.h, reach_h) && g.pw <= std::max(g.w, reach_w),
         "expected padding of at most the input's extent, or the dilated kernel's less one");
  kernels::check_conv(g);
  return g;
}

namespace {

// The readable references are about the graph before neighbours are fused.
void expect_alone(bool fused) {
  if (fused) throw FormatError("a convolution with a fused neighbour has only a native kernel");
}

template <bool kLinear>
constexpr int kRank = kLinear ? 2 : 4;

// Of x [N,F] and w [O,F], or of maps.
template <bool kLinear>
ConvGeometry geometry_of(const ConvWindow& window, const Shape& x, const Shape& w) {
  if constexpr (kLinear) {
    expect(x[1] == w[1], "expected " + std::to_string(w[1]) + " input features, got " + std::to_string(x[1]));
    expect(x.elements() > 0 && w.elements() > 0, "expected extents of at least 1");
    const ConvGeometry g{.n = x[0], .ci = x[1], .co = w[0]};
    kernels::check_conv(g);
    return g;
  } else {
    return conv_geometry(window, x, w);
  }
}

template <bool kLinear>
Shape output_shape(const ConvGeometry& g) {
  return kLinear ? Shape{g.n, g.co} : Shape{g.n, g.co, g.ho(), g.wo()};
}

// A gradient lacks one of x and w: the one it computes, whose shape is one of its options.
template <bool kLinear>
const Shape& expect_extents(const Shape& shape) {
  expect(shape.rank() == kRank<kLinear>, "expected extents of " + std::to_string(kRank<kLinear>) + " axes");
  return shape;
}

}  // namespace

template <bool kLinear>
Op ConvForward<kLinear>::read(const Attributes& attributes) {
  graph::AttributeReader reader(attributes);
  ConvOptions options;
  if constexpr (!kLinear) {
    options.window = {.stride = read_pair(reader, "stride"),
                      .padding = read_pair(reader, "padding"),
                      .dilation = read_pair(reader, "dilation"),
                      .groups = reader.integer("groups")};
  }
  reader.finish();
  return make<ConvForward>(options);
}

template <bool kLinear>
Attributes ConvForward<kLinear>::attributes() const {
  if constexpr (kLinear) return {};
  return {{"stride", to_list(options_.window.stride)},
          {"padding", to_list(options_.window.padding)},
          {"dilation", to_list(options_.window.dilation)},
          {"groups", options_.window.groups}};
}

template <bool kLinear>
ConvGeometry ConvForward<kLinear>::geometry(const Signature& s) const {
  return geometry_of<kLinear>(options_.window, s.inputs[ConvInput::x]->shape, s.inputs[ConvInput::w]->shape);
}

template <bool kLinear>
std::vector<std::optional<ValueType>> ConvForward<kLinear>::infer(
    std::span<const ValueType* const> inputs) const {
  using In = ConvInput;
  expect_f32(inputs, {In::x, In::w});
  const Shape& x = expect_rank(inputs, In::x, kRank<kLinear>);
  const Shape& w = expect_rank(inputs, In::w, kRank<kLinear>);
  const ConvGeometry g = geometry_of<kLinear>(options_.window, x, w);
  if (inputs[In::bias] != nullptr) {
    expect(*inputs[In::bias] == ValueType{Shape{g.co}, DType::f32},
           "expected a bias of shape " + to_string(Shape{g.co}));
  }
  if (expect_if(options_.norm_prologue, inputs, In::coefficients))
    expect(*inputs[In::coefficients] == rows_of_channels(3, g.ci), "expected a norm's coefficients");
  if (expect_if(options_.norm_epilogue, inputs, In::epilogue_coefficients)) {
    expect(*inputs[In::epilogue_coefficients] == rows_of_channels(3, g.co),
           "expected the coefficients of a norm behind");
  }
  if (expect_if(options_.residual, inputs, In::residual))
    expect(inputs[In::residual]->shape == output_shape<kLinear>(g),
           "expected a residual of the result's shape");
  return {ValueType{output_shape<kLinear>(g), DType::f32},
          options_.statistics ? std::optional(rows_of_channels(3, g.co)) : std::nullopt};
}

template <bool kLinear>
void ConvForward<kLinear>::gradient(GradientScope& scope) const {
  using In = ConvInput;
  const ValueId dy = scope.output_gradient(ConvOutput::y);
  // The weight gradient first: it can make dy on its way through (norm_gradient_prologue).
  if (scope.wants(In::w)) {
    const ConvWeightGradientOptions options{.window = options_.window,
                                            .w = scope.type(scope.input(In::w)).shape};
    scope.set(In::w, scope.emit(make<ConvWeightGradient<kLinear>>(options), {scope.input(In::x), dy})[0]);
  }
  if (scope.wants(In::x)) {
    const ConvInputGradientOptions options{.window = options_.window,
                                           .x = scope.type(scope.input(In::x)).shape};
    scope.set(In::x, scope.emit(make<ConvInputGradient<kLinear>>(options), {dy, scope.input(In::w)})[0]);
  }
  // A bias in front of a batch norm has gradient zero exactly: no sum of rounding noise.
  if (scope.wants(In::bias) && !scope.sums_to_zero(dy))
    scope.set(In::bias, scope.emit(make<ChannelSum>(), {dy})[0]);
}

template <bool kLinear>
void ConvForward<kLinear>::evaluate(const Signature& s, std::span<const View<const double>> in,
                                    std::span<const View<double>> out) const {
  expect_alone(options_.norm_prologue || options_.statistics || options_.norm_epilogue);
  kernels::reference_conv_forward(geometry(s), in[ConvInput::x], in[ConvInput::w], in[ConvInput::bias],
                                  out[ConvOutput::y]);
}

template <bool kLinear>
ConvGeometry ConvInputGradient<kLinear>::geometry(const Signature& s) const {
  return geometry_of<kLinear>(options_.window, expect_extents<kLinear>(options_.x),
                              s.inputs[ConvInputGradientInput::w]->shape);
}

template <bool kLinear>
std::vector<std::optional<ValueType>> ConvInputGradient<kLinear>::infer(
    std::span<const ValueType* const> inputs) const {
  using In = ConvInputGradientInput;
  expect_f32(inputs, {In::dy, In::w});
  const Shape& w = expect_rank(inputs, In::w, kRank<kLinear>);
  const Shape& dx = expect_extents<kLinear>(options_.x);
  const Shape dy = output_shape<kLinear>(geometry_of<kLinear>(options_.window, dx, w));
  expect(inputs[In::dy]->shape == dy, "expected an output gradient of shape " + to_string(dy));
  if (expect_if(options_.add, inputs, In::addend))
    expect(inputs[In::addend]->shape == dx, "expected an addend of shape " + to_string(dx));
  const bool sums = options_.sums != Gate::none;
  expect(options_.sums != Gate::value, "expected a mask or coefficients to gate by");
  if (expect_if(sums, inputs, In::norm_x)) expect(inputs[In::norm_x]->shape == dx, "expected a norm's x");
  if (expect_if(options_.sums == Gate::coefficients, inputs, In::coefficients))
    expect(*inputs[In::coefficients] == rows_of_channels(3, dx[1]), "expected a norm's coefficients");
  const bool by_mask = expect_if(options_.sums == Gate::mask, inputs, In::mean);
  if (by_mask) {
    expect(inputs[In::mean]->shape == Shape{dx[1]}, "expected a norm's mean");
    expect(inputs[In::mask] != nullptr &&
               inputs[In::mask]->shape == Shape{kernels::relu_mask_bytes(dx.elements())},
           "expected a ReLU mask of " + to_string(dx));
  }
  expect(by_mask || inputs[In::mask] == nullptr, "a mask has no use");
  return {ValueType{dx, DType::f32}, sums ? std::optional(rows_of_channels(3, dx[1])) : std::nullopt};
}

template <bool kLinear>
void ConvInputGradient<kLinear>::evaluate(const Signature& s, std::span<const View<const double>> in,
                                          std::span<const View<double>> out) const {
  expect_alone(options_.add || options_.sums != Gate::none);
  kernels::reference_conv_input_gradient(geometry(s), in[ConvInputGradientInput::dy],
                                         in[ConvInputGradientInput::w], out[ConvInputGradientOutput::dx]);
}

template <bool kLinear>
std::optional<Fusion> ConvInputGradient<kLinear>::with_epilogue(const Operation& next,
                                                                std::size_t slot) const {
  if (dynamic_cast<const Add*>(&next) == nullptr || options_.add) return std::nullopt;
  ConvInputGradientOptions options = options_;
  options.add = true;
  return Fusion{make<ConvInputGradient>(std::move(options)),
                Move{AddInput::other(slot), ConvInputGradientInput::addend}};
}

template <bool kLinear>
ConvGeometry ConvWeightGradient<kLinear>::geometry(const Signature& s) const {
  return geometry_of<kLinear>(options_.window, s.inputs[ConvWeightGradientInput::x]->shape,
                              expect_extents<kLinear>(options_.w));
}

template <bool kLinear>
std::vector<std::optional<ValueType>> ConvWeightGradient<kLinear>::infer(
    std::span<const ValueType* const> inputs) const {
  using In = ConvWeightGradientInput;
  expect_f32(inputs, {In::x, In::dy});
  const Shape& x = expect_rank(inputs, In::x, kRank<kLinear>);
  const Shape& dw = expect_extents<kLinear>(options_.w);
  const ValueType dy{output_shape<kLinear>(geometry_of<kLinear>(options_.window, x, dw)), DType::f32};
  expect(inputs[In::dy]->shape == dy.shape, "expected an output gradient of shape " + to_string(dy.shape));
  if (expect_if(options_.norm_prologue, inputs, In::coefficients))
    expect(*inputs[In::coefficients] == rows_of_channels(3, x[1]), "expected a norm's coefficients");
  const bool gradient = options_.norm_gradient_prologue;
  if (expect_if(gradient, inputs, In::norm_x)) expect(*inputs[In::norm_x] == dy, "expected a norm's x");
  if (expect_if(gradient, inputs, In::gradient_coefficients)) {
    expect(*inputs[In::gradient_coefficients] == rows_of_channels(4, dy.shape[1]),
           "expected a norm's gradient coefficients");
  }
  return {ValueType{dw, DType::f32}, gradient ? std::optional(dy) : std::nullopt};
}

template <bool kLinear>
void ConvWeightGradient<kLinear>::evaluate(const Signature& s, std::span<const View<const double>> in,
                                           std::span<const View<double>> out) const {
  expect_alone(options_.norm_prologue || options_.norm_gradient_prologue);
  kernels::reference_conv_weight_gradient(geometry(s), in[ConvWeightGradientInput::x],
                                          in[ConvWeightGradientInput::dy], out[ConvWeightGradientOutput::dw]);
}

template class ConvForward<false>;
template class ConvForward<true>;
template class ConvInputGradient<false>;
template class ConvInputGradient<true>;
template class ConvWeightGradient<false>;
template class ConvWeightGradient<true>;

}  // namespace resnet::ops
