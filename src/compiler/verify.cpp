#include "compiler/verify.h"

#include <algorithm>
#include <vector>

#include "compiler/value_index.h"
#include "graph/limits.h"
#include "graph/names.h"
#include "ops/operation.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::is_state;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;
using graph::ValueInfo;
using ops::Use;

constexpr const char* kSources =
    "activations follow from the images; weights, biases and statistics are parameters or buffers";

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), activation_(graph.values().size(), false) {}

  void run() {
    check_count(graph_.nodes().size(), graph::kMostNodes, "nodes");
    check_count(graph_.values().size(), graph::kMostValues, "values");
    for (const ValueInfo& value : graph_.values()) check_source(value);
    const ValueId images = graph_.input(graph::kImages);
    activation_[at(images)] = true;
    images_ = graph_.value(images).type.shape[0];
    for (const Node& node : graph_.nodes()) check_node(node);
    check_results();
  }

 private:
  static void check_count(std::size_t count, std::int64_t most, const char* what) {
    if (static_cast<std::int64_t>(count) <= most) return;
    throw FormatError("a network of " + std::to_string(count) + " " + what + "; at most " +
                          std::to_string(most) + " are supported",
                      "divide it into several networks");
  }

  static void check_source(const ValueInfo& value) {
    const auto& [shape, dtype] = value.type;
    if (value.role == Role::input) {
      const bool images = value.name == graph::kImages && dtype == DType::f32 && shape.rank() > 0;
      const bool seed = value.name == graph::kSeedStep && dtype == DType::i64 && shape == Shape{2};
      if (!images && !seed) {
        throw FormatError("the network's input '" + value.name + "', " + std::string(name_of(dtype)) + " " +
                              to_string(shape) + ", is none that an engine gives it",
                          "it gives 'images', f32 [N,C,H,W], and dropout's seed");
      }
    } else if (is_state(value.role)) {
      if (graph::is_reserved(value.name)) {
        throw FormatError(
            "the network's state '" + value.name + "' has a name that engines keep for themselves",
            "those begin with 'engine/', 'gradient/' or 'optimizer/'");
      }
      if (dtype != DType::f32) {
        throw FormatError(
            "the network keeps '" + value.name + "' as " + std::string(name_of(dtype)) + ", f32 was expected",
            "other state cannot be computed with");
      }
    }
  }

  // What a message calls a value.
  std::string described(ValueId id) const {
    const ValueInfo& value = graph_.value(id);
    switch (value.role) {
      case Role::input:
        return "the input '" + value.name + "'";
      case Role::parameter:
        return "the parameter '" + value.name + "'";
      case Role::buffer:
        return "the buffer '" + value.name + "'";
      case Role::computed:
        break;
    }
    return activation_[at(id)] ? "an activation" : "a further result of '" + value.name + "'";
  }

  void check_node(const Node& node) {
    const ops::Operation& operation = ops::operation(node);
    const std::string where = std::string(operation.name()) + " '" + node.name + "'";
    if (!operation.for_inference()) throw FormatError(where + " is not for inference");
    for (std::size_t i = 0; i < node.inputs.size(); ++i) check_operand(where, node, i);
    activation_[at(node.outputs[ops::kMainOutput])] = true;
    check_size(where, node);
  }

  void check_operand(const std::string& where, const Node& node, std::size_t slot) const {
    const ValueId id = node.inputs[slot];
    if (id == kNone) return;  // the operation's own rule says which may be
    const ValueInfo& value = graph_.value(id);
    const auto refuse = [&](const char* expected) {
      throw FormatError(where + ": operand '" + std::string(node.op->input_names()[slot]) + "' is " +
                            described(id) + ", " + expected + " was expected",
                        kSources);
    };
    switch (ops::operation(node).use_of(slot)) {
      case Use::activation:
        if (!activation_[at(id)]) refuse("an activation");
        break;
      case Use::weight:
      case Use::channels:
        if (!is_state(value.role)) refuse("a parameter or buffer");
        break;
      case Use::seed:
        if (value.name != graph::kSeedStep || value.role != Role::input) refuse("the input of the seed");
        break;
    }
  }

  void check_size(const std::string& where, const Node& node) {
    const auto images = static_cast<double>(std::max<std::int64_t>(1, images_));
    const auto bytes_of = [&](ValueId id) {
      return static_cast<double>(graph_.value(id).type.shape.elements()) * sizeof(float);
    };
    double bytes = bytes_of(node.outputs[ops::kMainOutput]);
    for (const ValueId id : node.inputs) {
      if (id != kNone && activation_[at(id)]) bytes += bytes_of(id);
    }
    if (bytes > images * static_cast<double>(graph::kMostImageBytes)) {
      throw FormatError(where + " takes " + std::to_string(static_cast<std::int64_t>(bytes / images) >> 20) +
                            " MiB of activations an image; at most " +
                            std::to_string(graph::kMostImageBytes >> 20) + " are supported",
                        "use smaller images or fewer channels");
    }
    const ops::OperandTypes types(node, graph_);
    flops_ += ops::operation(node).cost(types.signature()).flops / images;
    if (flops_ > graph::kMostImageFlops) {
      throw FormatError(where + " is where the network's work exceeds " +
                            std::to_string(static_cast<std::int64_t>(graph::kMostImageFlops / 1e9)) +
                            " GFLOP an image, the most that is supported",
                        "use smaller images or fewer channels");
    }
  }

  void check_results() const {
    const ValueId output = graph_.output(graph::kOutput);
    if (!activation_[at(output)]) {
      throw FormatError("the network's output is " + described(output) + ", an activation was expected",
                        kSources);
    }
    for (const graph::Update& update : graph_.updates()) {
      const ValueInfo& value = graph_.value(update.value);
      if (is_state(graph_.value(update.state).role) && value.role == Role::computed &&
          !activation_[at(update.value)])
        continue;
      throw FormatError("the update of '" + graph_.value(update.state).name + "' is " +
                            described(update.value) + ", a norm's new statistics were expected",
                        kSources);
    }
  }

  const Graph& graph_;
  std::vector<bool> activation_;  // values that follow from the images, image by image
  std::int64_t images_ = 1;
  double flops_ = 0;  // of one image, so far
};

}  // namespace

void verify(const Graph& network) {
  Verifier(network).run();
}

std::set<std::string> weights_of(const Graph& network) {
  std::set<std::string> weights;
  for (const Node& node : network.nodes()) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != kNone && ops::operation(node).use_of(i) == Use::weight)
        weights.insert(network.value(node.inputs[i]).name);
    }
  }
  return weights;
}

}  // namespace resnet::compiler
