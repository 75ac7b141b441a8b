#include "io/onnx/operations.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "ops/activation.h"
#include "ops/add.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/dropout.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"

namespace resnet::io::onnx {
namespace {

using Ints = std::vector<std::int64_t>;

// `inputs` without the absent ones at their end.
std::vector<std::string> present(std::vector<std::string> inputs) {
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  return inputs;
}

std::vector<std::string> first(const Placed& p, std::size_t count) {
  return present({p.inputs.begin(), p.inputs.begin() + static_cast<std::ptrdiff_t>(count)});
}

// An operation that ONNX has as it is.
template <const char* const& kOp, std::size_t kInputs>
void write_same(GraphWriter& to, const Placed& p) {
  to.add_named(kOp, p.result, first(p, kInputs));
}

void write_conv(GraphWriter& to, const Placed& p) {
  const ops::ConvWindow& window = ops::as<ops::Conv2d>(p.node)->options().window;
  const Shape& w = p.graph.value(p.node.inputs[ops::ConvInput::w]).type.shape;
  const auto [ph, pw] = window.padding;
  to.add_named("Conv", p.result, first(p, ops::ConvInput::coefficients),
               {{"kernel_shape", Ints{w[2], w[3]}},
                {"strides", Ints{window.stride.h, window.stride.w}},
                {"pads", Ints{ph, pw, ph, pw}},
                {"dilations", Ints{window.dilation.h, window.dilation.w}},
                {"group", window.groups}});
}

void write_linear(GraphWriter& to, const Placed& p) {
  to.add_named("Gemm", p.result, first(p, ops::ConvInput::coefficients), {{"transB", std::int64_t{1}}});
}

void write_batch_norm(GraphWriter& to, const Placed& p) {
  const ops::BatchNormOptions& options = ops::as<ops::BatchNorm>(p.node)->options();
  if (options.training) {
    throw FormatError(
        fmt::format("batch_norm '{}' is in training mode, which no inference format has", p.node.name),
        "export a network that was traced in evaluation mode");
  }
  to.add_named("BatchNormalization", p.result, first(p, ops::BatchNormInput::residual),
               {{"epsilon", static_cast<float>(options.eps)}});
}

// What a pool reads behind its padding where extents are rounded up, rows and columns. ONNX's own `ceil_mode`
// has other rules, and runtimes have had others again.
ops::Pair beyond(const kernels::PoolGeometry& g) {
  return {std::max<std::int64_t>(0, (g.ho() - 1) * g.sh + g.kh - g.h - 2 * g.ph),
          std::max<std::int64_t>(0, (g.wo() - 1) * g.sw + g.kw - g.w - 2 * g.pw)};
}

void write_max_pool(GraphWriter& to, const Placed& p) {
  const kernels::PoolGeometry g =
      ops::pool_geometry(ops::as<ops::MaxPool>(p.node)->window(), p.input_shape());
  const ops::Pair more = beyond(g);
  to.add_named("MaxPool", p.result, first(p, 1),
               {{"kernel_shape", Ints{g.kh, g.kw}},
                {"strides", Ints{g.sh, g.sw}},
                {"pads", Ints{g.ph, g.pw, g.ph + more.h, g.pw + more.w}}});
}

// Padding counts, or does not; what is beyond it never does. ONNX counts both or neither, so that where one
// counts zeros are put around the map first.
void write_avg_pool(GraphWriter& to, const Placed& p) {
  const kernels::PoolGeometry g = ops::as<ops::AvgPool>(p.node)->geometry(p.input_shape());
  const ops::Pair more = beyond(g);
  std::vector<std::string> inputs = first(p, 1);
  Ints pads = {g.ph, g.pw, g.ph + more.h, g.pw + more.w};
  const bool padded = g.count_padding && (g.ph > 0 || g.pw > 0);
  if (padded && (more.h > 0 || more.w > 0)) {
    Tensor around({8}, DType::i64);
    const Ints values = {0, 0, g.ph, g.pw, 0, 0, g.ph, g.pw};
    std::ranges::copy(values, around.view<std::int64_t>().data);
    inputs.push_back(to.constant(p.result + "/around", around));
    inputs = {to.add("Pad", p.result + "/padded", inputs)};
    pads = {0, 0, more.h, more.w};
  }
  const bool counts = padded && more.h == 0 && more.w == 0;
  to.add_named("AveragePool", p.result, inputs,
               {{"kernel_shape", Ints{g.kh, g.kw}},
                {"strides", Ints{g.sh, g.sw}},
                {"pads", pads},
                {"count_include_pad", std::int64_t{counts ? 1 : 0}}});
}

void write_flatten(GraphWriter& to, const Placed& p) {
  to.add_named("Flatten", p.result, first(p, 1), {{"axis", std::int64_t{1}}});
}

void write_concat(GraphWriter& to, const Placed& p) {
  to.add_named("Concat", p.result, first(p, 2), {{"axis", std::int64_t{1}}});
}

void write_silu(GraphWriter& to, const Placed& p) {
  const std::string gate = to.add("Sigmoid", p.result + "/sigmoid", first(p, 1));
  to.add_named("Mul", p.result, {p.inputs[0], gate});
}

// 0.5 x (1 + erf(x / sqrt 2)); an operator of its own comes with opset 20.
void write_gelu(GraphWriter& to, const Placed& p) {
  const auto number = [&](const char* name, double value) {
    Tensor scalar{Shape{}};
    scalar.values()[0] = static_cast<float>(value);
    return to.constant(p.result + "/" + name, scalar);
  };
  const std::string scaled =
      to.add("Mul", p.result + "/scaled", {p.inputs[0], number("inverse_root", 1 / std::numbers::sqrt2)});
  const std::string erf = to.add("Erf", p.result + "/erf", {scaled});
  const std::string gate = to.add("Add", p.result + "/gate", {erf, number("one", 1)});
  const std::string half = to.add("Mul", p.result + "/half", {p.inputs[0], number("factor", 0.5)});
  to.add_named("Mul", p.result, {half, gate});
}

constexpr const char* kRelu = "Relu";
constexpr const char* kSigmoid = "Sigmoid";
constexpr const char* kAdd = "Add";
constexpr const char* kMul = "Mul";
constexpr const char* kGlobalAveragePool = "GlobalAveragePool";

constexpr std::array kMappings = {
    Mapping{ops::Conv2d::kName, write_conv},
    Mapping{ops::Linear::kName, write_linear},
    Mapping{ops::BatchNorm::kName, write_batch_norm},
    Mapping{ops::Relu::kName, write_same<kRelu, 1>},
    Mapping{ops::Sigmoid::kName, write_same<kSigmoid, 1>},
    Mapping{ops::Silu::kName, write_silu},
    Mapping{ops::Gelu::kName, write_gelu},
    Mapping{ops::Add::kName, write_same<kAdd, 2>},
    Mapping{ops::Mul::kName, write_same<kMul, 2>},  // a gate is broadcast
    Mapping{ops::Concat::kName, write_concat},
    Mapping{ops::MaxPool::kName, write_max_pool},
    Mapping{ops::AvgPool::kName, write_avg_pool},
    Mapping{ops::GlobalAvgPool::kName, write_same<kGlobalAveragePool, 1>},
    Mapping{ops::Flatten::kName, write_flatten},
    Mapping{ops::Dropout::kName, nullptr, "its numbers are drawn in training alone"},
};

}  // namespace

std::span<const Mapping> mappings() {
  return kMappings;
}

void write(GraphWriter& to, const Placed& placed) {
  const std::string_view name = placed.node.op->name();
  const auto* mapping = std::ranges::find(kMappings, name, &Mapping::operation);
  if (mapping == kMappings.end() || mapping->write == nullptr) {
    throw FormatError(fmt::format("{} '{}' cannot be written as ONNX: {}", name, placed.node.name,
                                  mapping == kMappings.end() ? "it has no form there" : mapping->refusal),
                      "export a network that was traced in evaluation mode");
  }
  mapping->write(to, placed);
}

}  // namespace resnet::io::onnx
