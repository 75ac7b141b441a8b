#include "io/onnx/read.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>

#include "base/text.h"
#include "graph/names.h"
#include "io/onnx/preprocessing.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/avg_pool.h"
#include "ops/batch_norm.h"
#include "ops/concat.h"
#include "ops/conv2d.h"
#include "ops/flatten.h"
#include "ops/max_pool.h"
#include "ops/mul.h"
#include "ops/relu.h"

namespace resnet::io::onnx {
namespace {

using graph::kNone;
using graph::ValueId;
using Nodes = google::protobuf::RepeatedPtrField<schema::NodeProto>;

[[noreturn]] void refuse(const std::string& what) {
  throw FormatError("as ONNX: " + what, "it was not written by this program, or is damaged");
}

DType dtype_of_number(std::int32_t number) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8}) {
    if (data_type(dtype) == number) return dtype;
  }
  refuse(fmt::format("a tensor of type {}", number));
}

const schema::AttributeProto* find(const schema::NodeProto& node, std::string_view name) {
  for (const schema::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

std::int64_t integer(const schema::NodeProto& node, std::string_view name, std::int64_t otherwise) {
  const schema::AttributeProto* found = find(node, name);
  return found == nullptr ? otherwise : found->i();
}

template <std::size_t kCount>
std::array<std::int64_t, kCount> integers(const schema::NodeProto& node, std::string_view name) {
  const schema::AttributeProto* found = find(node, name);
  if (found == nullptr || found->ints_size() != static_cast<int>(kCount))
    refuse(fmt::format("node {} has no {} of {} numbers", in_quotes(node.name()), name, kCount));
  std::array<std::int64_t, kCount> result{};
  std::ranges::copy(found->ints(), result.begin());
  return result;
}

ops::Pair pair(const schema::NodeProto& node, std::string_view name) {
  const auto [h, w] = integers<2>(node, name);
  return {h, w};
}

class Reader {
 public:
  explicit Reader(std::string_view text) {
    if (!read_.proto.ParseFromArray(text.data(), static_cast<int>(text.size())))
      refuse("it cannot be parsed");
  }

  Read run(std::int64_t height, std::int64_t width) {
    const schema::GraphProto& graph = read_.proto.graph();
    for (const schema::TensorProto& tensor : graph.initializer()) add_constant(tensor);
    if (graph.input_size() != 1 || graph.output_size() != 1) refuse("it has not one input and one output");
    define(graph.input(0).name());
    for (const schema::NodeProto& node : graph.node()) check(node);
    if (!defined_.contains(graph.output(0).name())) refuse("its output comes from no node");
    const Nodes& nodes = graph.node();
    while (read_.preprocessing < nodes.size() &&
           (nodes[read_.preprocessing].name().starts_with(kPreprocessingPrefix) ||
            nodes[read_.preprocessing].op_type() == "Identity"))
      ++read_.preprocessing;
    read_.nodes = nodes.size() - read_.preprocessing;
    read_input(height, width);
    for (int i = read_.preprocessing; i < nodes.size(); ++i) read_node(nodes, i);
    read_.graph.add_output(graph::kOutput, value(last_));
    return std::move(read_);
  }

 private:
  void define(const std::string& name) {
    if (!defined_.emplace(name, kNone).second)
      refuse(fmt::format("two values are called {}", in_quotes(name)));
  }

  void add_constant(const schema::TensorProto& tensor) {
    define(tensor.name());
    if (tensor.dims_size() > Shape::kMaxRank)
      refuse(fmt::format("{} has too many axes", in_quotes(tensor.name())));
    const Shape shape(std::vector<std::int64_t>(tensor.dims().begin(), tensor.dims().end()));
    const DType dtype = dtype_of_number(tensor.data_type());
    const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
    if (tensor.raw_data().size() != bytes)
      refuse(fmt::format("{} has {} bytes, its shape {} takes {}", in_quotes(tensor.name()),
                         tensor.raw_data().size(), to_string(shape), bytes));
    Tensor value(shape, dtype);
    std::memcpy(value.raw(), tensor.raw_data().data(), bytes);
    constants_.emplace(tensor.name(), std::move(value));
  }

  // Operands are there before they are used, as the format demands.
  void check(const schema::NodeProto& node) {
    for (const std::string& input : node.input()) {
      if (!input.empty() && !defined_.contains(input))
        refuse(fmt::format("node {} reads {}, which is not there", in_quotes(node.name()), in_quotes(input)));
    }
    if (node.output_size() != 1) refuse(fmt::format("node {} has not one output", in_quotes(node.name())));
    define(node.output(0));
  }

  void read_input(std::int64_t height, std::int64_t width) {
    const schema::ValueInfoProto& input = read_.proto.graph().input(0);
    const auto& shape = input.type().tensor_type().shape();
    if (shape.dim_size() != 4) refuse("its input has not four axes");
    std::array<std::int64_t, 4> extents = {1, shape.dim(1).dim_value(), shape.dim(2).dim_value(),
                                           shape.dim(3).dim_value()};
    last_ = input.name();
    if (read_.preprocessing > 0) {
      extents = {1, channels(), height, width};
      last_ = read_.proto.graph().node(read_.preprocessing - 1).output(0);
    }
    values_[last_] = read_.graph.add_input(graph::kImages, {Shape(extents), DType::f32});
  }

  // Of the network: the first convolution's, which may have groups.
  std::int64_t channels() const {
    for (const schema::NodeProto& node : read_.proto.graph().node()) {
      if (node.op_type() != "Conv" || node.input_size() < 2) continue;
      const auto weights = constants_.find(node.input(1));
      const std::int64_t groups = integer(node, "group", 1);
      constexpr std::int64_t kMost = std::int64_t{1} << 20;  // as Preprocessing::channels
      if (weights != constants_.end() && weights->second.shape().rank() == 4 && groups >= 1 &&
          groups <= kMost)
        return weights->second.shape()[1] * groups;
    }
    refuse("its preprocessing stands before no convolution");
  }

  // Of an operand: what a node gave, or a constant, which becomes state.
  ValueId value(const std::string& name) {
    if (name.empty()) return kNone;
    if (const auto found = values_.find(name); found != values_.end()) return found->second;
    const auto found = constants_.find(name);
    if (found == constants_.end()) refuse(fmt::format("{} is no operand of a network", in_quotes(name)));
    const Tensor& tensor = found->second;
    read_.state.emplace_back(name, tensor);
    return values_[name] =
               read_.graph.add_state(graph::Role::parameter, name, {tensor.shape(), tensor.dtype()});
  }

  void add(const schema::NodeProto& node, const std::string& name, graph::Op op, std::size_t inputs,
           const schema::NodeProto& result) {
    std::vector<ValueId> ids;
    for (int i = 0; i < static_cast<int>(inputs); ++i)
      ids.push_back(i < node.input_size() ? value(node.input(i)) : kNone);
    last_ = result.output(0);
    values_[last_] = read_.graph.add_node(std::move(op), name, std::move(ids))[0];
  }

  // A pool's window; `ceil_mode` where it reads more behind the map than its padding.
  static ops::PoolWindow window(const schema::NodeProto& node) {
    const auto [top, left, bottom, right] = integers<4>(node, "pads");
    return {.kernel = pair(node, "kernel_shape"),
            .stride = pair(node, "strides"),
            .padding = {top, left},
            .ceil_mode = bottom != top || right != left};
  }

  void read_pool(const schema::NodeProto& node, const schema::NodeProto& from, ops::PoolWindow w) {
    if (node.op_type() == "MaxPool") return add(from, node.name(), ops::make<ops::MaxPool>(w), 1, node);
    add(from, node.name(), ops::make<ops::AvgPool>(w), 1, node);
  }

  void read_conv(const schema::NodeProto& node) {
    const auto [top, left, bottom, right] = integers<4>(node, "pads");
    if (top != bottom || left != right)
      refuse(fmt::format("node {} is padded unevenly", in_quotes(node.name())));
    ops::ConvOptions options;
    options.window = {.stride = pair(node, "strides"),
                      .padding = {top, left},
                      .dilation = pair(node, "dilations"),
                      .groups = integer(node, "group", 1)};
    add(node, node.name(), ops::make<ops::Conv2d>(options), 3, node);
  }

  // ONNX counts what is behind the map with the padding, or neither; networks never count it.
  void read_average(const schema::NodeProto& node) {
    ops::PoolWindow w = window(node);
    const bool counts = integer(node, "count_include_pad", 0) != 0;
    if (counts && w.ceil_mode)
      refuse(fmt::format("node {} counts what is behind the map", in_quotes(node.name())));
    w.count_padding = counts || (w.padding.h == 0 && w.padding.w == 0);
    read_pool(node, node, w);
  }

  // Zeros around the map that count, and what is behind them, which does not.
  void read_padded_average(const schema::NodeProto& pad, const schema::NodeProto& node) {
    ops::PoolWindow w = window(node);
    const auto around = pad.input_size() > 1 ? constants_.find(pad.input(1)) : constants_.end();
    if (around == constants_.end() || around->second.shape() != Shape{8} ||
        integer(node, "count_include_pad", 0) != 0)
      refuse(fmt::format("node {} pads as no network of ours does", in_quotes(pad.name())));
    const auto pads = around->second.view<std::int64_t>();
    w.padding = {pads[2], pads[3]};
    w.ceil_mode = true;
    read_pool(node, pad, w);
  }

  // `i` moves on where an operation has several nodes.
  void read_node(const Nodes& nodes, int& i) {
    const schema::NodeProto& node = nodes[i];
    const std::string& op = node.op_type();
    const auto simple = [&](graph::Op made, std::size_t inputs) {
      add(node, node.name(), std::move(made), inputs, node);
    };
    if (op == "Conv") return read_conv(node);
    if (op == "MaxPool") return read_pool(node, node, window(node));
    if (op == "AveragePool") return read_average(node);
    if (op == "Gemm") return simple(ops::make<ops::Linear>(ops::ConvOptions{}), 3);
    if (op == "Relu") return simple(ops::make<ops::Relu>(), 1);
    if (op == "Sigmoid") return simple(ops::make<ops::Sigmoid>(), 1);
    if (op == "Add") return simple(ops::make<ops::Add>(), 2);
    if (op == "Mul" && i + 1 < nodes.size() && nodes[i + 1].op_type() == "Erf" && i + 4 < nodes.size()) {
      add(node, nodes[i + 4].name(), ops::make<ops::Gelu>(), 1, nodes[i + 4]);
      i += 4;
      return;
    }
    if (op == "Mul") return simple(ops::make<ops::Mul>(), 2);
    if (op == "Concat") return simple(ops::make<ops::Concat>(), 2);
    if (op == "GlobalAveragePool") return simple(ops::make<ops::GlobalAvgPool>(), 1);
    if (op == "Flatten") return simple(ops::make<ops::Flatten>(), 1);
    if (op == "BatchNormalization") {
      const schema::AttributeProto* eps = find(node, "epsilon");
      ops::BatchNormOptions options;
      if (eps != nullptr) options.eps = double{eps->f()};
      return simple(ops::make<ops::BatchNorm>(options), 5);
    }
    if (op == "Pad" && i + 1 < nodes.size() && nodes[i + 1].op_type() == "AveragePool")
      return read_padded_average(node, nodes[++i]);
    if (op == "Softmax" && i + 1 == nodes.size()) {
      read_.softmax = true;
      return;
    }
    refuse(fmt::format("node {} is {}, which no network of ours has", in_quotes(node.name()), in_quotes(op)));
  }

  Read read_;
  std::map<std::string, ValueId> defined_, values_;
  std::map<std::string, Tensor> constants_;
  std::string last_;  // result
};

}  // namespace

Read read_network(std::string_view text, std::int64_t height, std::int64_t width) {
  try {
    return Reader(text).run(height, width);
  } catch (const ShapeError& error) {  // of an operation, or of an impossible shape
    refuse(error.what());
  }
}

void check_weights(const Read& read, const State& state) {
  if (read.state.size() != state.size())
    refuse(fmt::format("{} weights where {} were written", read.state.size(), state.size()));
  for (std::size_t i = 0; i < state.size(); ++i) {
    // In the order of writing: a name may have a number behind it there.
    const Tensor& wanted = state[i].second;
    const Tensor& got = read.state[i].second;
    if (!(wanted.shape() == got.shape()) || std::memcmp(wanted.raw(), got.raw(), wanted.bytes()) != 0)
      refuse(fmt::format("{} was not written as it is", in_quotes(state[i].first)));
  }
}

}  // namespace resnet::io::onnx
