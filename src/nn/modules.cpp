#include <algorithm>

#include "base/random.h"
#include "graph/names.h"
#include "nn/build.h"
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
#include "resnet/nn.h"

namespace resnet {

namespace {

// An operation of one value without options, named beside the node that made it.
template <class O>
Value emit_one(Value x) {
  return {x.builder(), nn::emit(x, ops::make<O>(), nn::beside(x, std::string(O::kName)), {x.id()})[0]};
}

// An operation of two values, named beside the operand that the block around it made: the later one, unless
// that is a part of the earlier one's block (a shortcut's norm).
template <class O>
Value emit_two(Value a, Value b) {
  if (&a.builder() != &b.builder()) {
    throw ConfigError("two values of different networks meet in one operation",
                      "give both values of the call that builds the network");
  }
  const std::string op(O::kName), by_a = nn::beside(a, op), by_b = nn::beside(b, op);
  const std::string block = by_a.substr(0, by_a.rfind('.') + 1);
  const bool part = !block.empty() && by_b.starts_with(block);
  const std::string& name = b.id() > a.id() && !part ? by_b : by_a;
  return {a.builder(), nn::emit(a, ops::make<O>(), name, {a.id(), b.id()})[0]};
}

}  // namespace

Value relu(Value x) {
  return emit_one<ops::Relu>(x);
}
Value sigmoid(Value x) {
  return emit_one<ops::Sigmoid>(x);
}
Value silu(Value x) {
  return emit_one<ops::Silu>(x);
}
Value gelu(Value x) {
  return emit_one<ops::Gelu>(x);
}
Value global_avg_pool(Value x) {
  return emit_one<ops::GlobalAvgPool>(x);
}

Value operator+(Value a, Value b) {
  return emit_two<ops::Add>(a, b);
}
Value operator*(Value a, Value b) {
  const bool gate_first = ops::Mul::gates(b.shape(), a.shape());  // multiplication commutes bit for bit
  return gate_first ? emit_two<ops::Mul>(b, a) : emit_two<ops::Mul>(a, b);
}
Value concat(std::initializer_list<Value> values) {
  if (values.size() == 0) throw ConfigError("concat of no values", "give at least one");
  Value joined = *values.begin();
  for (const Value* next = values.begin() + 1; next != values.end(); ++next)
    joined = emit_two<ops::Concat>(joined, *next);
  return joined;
}

namespace nn {
namespace {

void require(bool holds, const std::string& what) {
  if (!holds) throw ConfigError(what);
}

void require_pixels(const char* module, const char* name, Size2 size, std::int64_t least) {
  require(size.height >= least && size.width >= least,
          std::string(module) + ": " + name + " must be at least " + std::to_string(least) + " pixels");
}

}  // namespace

Conv2d::Conv2d(std::int64_t in, std::int64_t out, Conv2dOptions options) : options_(options) {
  require(in >= 1 && out >= 1, "Conv2d: channels must be at least 1");
  require(options.groups >= 1 && in % options.groups == 0 && out % options.groups == 0,
          "Conv2d: groups must divide the channels in and out");
  require_pixels("Conv2d", "kernel", options.kernel, 1);
  require_pixels("Conv2d", "stride", options.stride, 1);
  require_pixels("Conv2d", "padding", options.padding, 0);
  require_pixels("Conv2d", "dilation", options.dilation, 1);
  const Shape weight{out, in / options.groups, options.kernel.height, options.kernel.width};
  const std::int64_t fan_in = weight.elements() / out;
  add_parameter("weight", ParameterKind::weight, weight, fan_in);
  if (options.bias) add_parameter("bias", ParameterKind::bias, {out}, fan_in);
}

Value Conv2d::operator()(Value x) const {
  graph::Builder& builder = x.builder();
  const graph::ValueId weight = parameter_value(builder, 0);
  const graph::ValueId bias = options_.bias ? parameter_value(builder, 1) : graph::kNone;
  const ops::ConvOptions options{.window = {.stride = pair(options_.stride),
                                            .padding = pair(options_.padding),
                                            .dilation = pair(options_.dilation),
                                            .groups = options_.groups}};
  return {builder, emit(x, ops::make<ops::Conv2d>(options), node_name(x), {x.id(), weight, bias})[0]};
}

BatchNorm2d::BatchNorm2d(std::int64_t channels, BatchNorm2dOptions options) : options_(options) {
  require(channels >= 1, "BatchNorm2d: channels must be at least 1");
  require(ops::is_eps(options.eps), "BatchNorm2d: eps must be positive, and finite in f32");
  require(options.momentum >= 0 && options.momentum <= 1, "BatchNorm2d: momentum must lie within [0, 1]");
  add_parameter("weight", ParameterKind::norm_weight, {channels});
  add_parameter("bias", ParameterKind::norm_bias, {channels});
  add_parameter("running_mean", ParameterKind::running_mean, {channels});
  add_parameter("running_var", ParameterKind::running_var, {channels});
  add_parameter("num_batches_tracked", ParameterKind::batches_tracked, {});
}

Value BatchNorm2d::operator()(Value x) const {
  graph::Builder& builder = x.builder();
  const bool training = x.mode() == Mode::train;
  const std::string name = node_name(x);
  const graph::ValueId weight = parameter_value(builder, 0);
  const graph::ValueId bias = parameter_value(builder, 1);
  const graph::ValueId mean = parameter_value(builder, 2);
  const graph::ValueId variance = parameter_value(builder, 3);
  const ops::BatchNormOptions options{
      .eps = options_.eps, .momentum = options_.momentum, .training = training};
  const auto outputs =
      emit(x, ops::make<ops::BatchNorm>(options), name, {x.id(), weight, bias, mean, variance});
  if (training) {
    for (const graph::Update& update : builder.graph.updates()) {
      if (update.state != mean) continue;
      throw ConfigError("BatchNorm2d '" + name + "' is called twice in one training step",
                        "give each place a norm of its own");
    }
    builder.graph.add_update(mean, outputs[ops::BatchNormOutput::running_mean]);
    builder.graph.add_update(variance, outputs[ops::BatchNormOutput::running_var]);
  }
  return {builder, outputs[ops::BatchNormOutput::y]};
}

Value ReLU::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::Relu>(), node_name(x), {x.id()})[0]};
}

Value Sigmoid::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::Sigmoid>(), node_name(x), {x.id()})[0]};
}

Value SiLU::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::Silu>(), node_name(x), {x.id()})[0]};
}

Value GELU::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::Gelu>(), node_name(x), {x.id()})[0]};
}

namespace {

void require_window(const char* module, const PoolOptions& options) {
  require_pixels(module, "kernel", options.kernel, 1);
  require_pixels(module, "stride", options.stride, 1);
  require_pixels(module, "padding", options.padding, 0);
  require(2 * options.padding.height <= options.kernel.height &&
              2 * options.padding.width <= options.kernel.width,
          std::string(module) + ": padding must be at most half the kernel");
}

ops::PoolWindow window(const PoolOptions& options) {
  return {.kernel = pair(options.kernel),
          .stride = pair(options.stride),
          .padding = pair(options.padding),
          .count_padding = options.count_padding,
          .ceil_mode = options.ceil_mode};
}

}  // namespace

MaxPool2d::MaxPool2d(PoolOptions options) : options_(options) {
  require_window("MaxPool2d", options);
}

Value MaxPool2d::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::MaxPool>(window(options_)), node_name(x), {x.id()})[0]};
}

AvgPool2d::AvgPool2d(PoolOptions options) : options_(options) {
  require_window("AvgPool2d", options);
}

Value AvgPool2d::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::AvgPool>(window(options_)), node_name(x), {x.id()})[0]};
}

Value GlobalAvgPool2d::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::GlobalAvgPool>(), node_name(x), {x.id()})[0]};
}

Value Flatten::operator()(Value x) const {
  return {x.builder(), emit(x, ops::make<ops::Flatten>(), node_name(x), {x.id()})[0]};
}

Linear::Linear(std::int64_t in, std::int64_t out, LinearOptions options) : options_(options) {
  require(in >= 1 && out >= 1, "Linear: features must be at least 1");
  add_parameter("weight", ParameterKind::weight, {out, in}, in);
  if (options.bias) add_parameter("bias", ParameterKind::bias, {out}, in);
}

Value Linear::operator()(Value x) const {
  graph::Builder& builder = x.builder();
  const graph::ValueId weight = parameter_value(builder, 0);
  const graph::ValueId bias = options_.bias ? parameter_value(builder, 1) : graph::kNone;
  return {builder, emit(x, ops::make<ops::Linear>(), node_name(x), {x.id(), weight, bias})[0]};
}

Dropout::Dropout(double p) : p_(p) {
  require(p >= 0 && p < 1, "Dropout: p must lie within [0, 1)");
}

namespace {

Value drop(Value x, const std::string& name, double p, bool per_example) {
  if (x.mode() == Mode::eval || p == 0) return x;
  graph::Builder& builder = x.builder();
  // Every call has numbers of its own, also one that shares its name with another.
  const auto& nodes = builder.graph.nodes();
  const auto before = std::count_if(nodes.begin(), nodes.end(), [&](const graph::Node& node) {
    return node.name == name && ops::as<ops::Dropout>(node) != nullptr;
  });
  const std::uint64_t layer = stream_id(before == 0 ? name : name + "#" + std::to_string(before));
  const graph::ValueId seed_step = builder.graph.add_input(graph::kSeedStep, {Shape{2}, DType::i64});
  const ops::DropoutOptions options{.p = p, .layer = layer, .per_example = per_example};
  return {builder, emit(x, ops::make<ops::Dropout>(options), name, {x.id(), seed_step})[0]};
}

}  // namespace

Value Dropout::operator()(Value x) const {
  return drop(x, node_name(x), p_, false);
}

DropPath::DropPath(double p) : p_(p) {
  require(p >= 0 && p < 1, "DropPath: p must lie within [0, 1)");
}

Value DropPath::operator()(Value x) const {
  return drop(x, node_name(x), p_, true);
}

Module& Sequential::operator[](std::size_t i) {
  if (i < size()) return *children()[i].module;
  throw ConfigError("a Sequential of " + std::to_string(size()) + " modules has none of number " +
                    std::to_string(i));
}

const Module& Sequential::operator[](std::size_t i) const {
  return const_cast<Sequential&>(*this)[i];  // which changes nothing
}

Value Sequential::operator()(Value x) const {
  for (const Child& child : children()) x = (*child.module)(x);
  return x;
}

}  // namespace nn
}  // namespace resnet
