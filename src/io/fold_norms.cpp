#include "io/fold_norms.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <vector>

#include "io/unique_names.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"

namespace resnet::io {
namespace {

using graph::kNone;
using graph::Node;
using graph::ValueId;
using graph::ValueInfo;
using ops::BatchNormInput;
using ops::ConvInput;

class Folder {
 public:
  Folder(const ModelFile& model, bool any)
      : model_(model), any_(any), readers_(model.graph.values().size(), 0) {
    for (const auto& [name, tensor] : model.state) values_.emplace(name, &tensor);
    for (const ValueInfo& value : model.graph.values()) names_.add(value.name);
    for (const Node& node : model.graph.nodes()) {
      if (ops::as<ops::BatchNorm>(node) != nullptr) norm_of_[node.inputs[BatchNormInput::x]] = &node;
      for (const ValueId id : node.inputs) {
        if (id != kNone) ++readers_[static_cast<std::size_t>(id)];
      }
    }
    for (const auto& [name, id] : model.graph.outputs()) ++readers_[static_cast<std::size_t>(id)];
  }

  Folded run() {
    const graph::Graph& from = model_.graph;
    renumbered_.assign(from.values().size(), kNone);
    for (const ValueId id : from.with_role(graph::Role::input)) {
      renumbered_[static_cast<std::size_t>(id)] =
          result_.graph.add_input(from.value(id).name, from.value(id).type);
    }
    for (const Node& node : from.nodes()) {
      if (!any_ || !fold(node)) copy(node);
    }
    for (const auto& [name, id] : from.outputs()) result_.graph.add_output(name, mapped(id));
    return std::move(result_);
  }

 private:
  struct Weights {
    Tensor w, bias;
  };

  const ValueInfo& info(ValueId id) const { return model_.graph.value(id); }
  const Tensor& tensor(ValueId id) const { return *values_.at(info(id).name); }
  bool read_once(ValueId id) const { return readers_[static_cast<std::size_t>(id)] == 1; }

  // The convolution whose result this norm alone reads, with weights of its own; or null.
  const Node* convolution_before(const Node& norm) const {
    const ValueId x = norm.inputs[BatchNormInput::x];
    const ValueInfo& value = info(x);
    if (value.role != graph::Role::computed || !read_once(x)) return nullptr;
    const Node& conv = model_.graph.nodes()[static_cast<std::size_t>(value.producer)];
    if (ops::as<ops::Conv2d>(conv) == nullptr || !read_once(conv.inputs[ConvInput::w])) return nullptr;
    const ValueId bias = conv.inputs[ConvInput::bias];
    return bias == kNone || read_once(bias) ? &conv : nullptr;
  }

  bool folded_into(const Node& norm, const Node& conv, Weights& out) const {
    const double eps = ops::as<ops::BatchNorm>(norm)->options().eps;
    const auto numbers = [&](std::size_t slot) { return tensor(norm.inputs[slot]).values(); };
    const auto gamma = numbers(BatchNormInput::gamma), beta = numbers(BatchNormInput::beta);
    const auto mean = numbers(BatchNormInput::running_mean), var = numbers(BatchNormInput::running_var);
    out.w = tensor(conv.inputs[ConvInput::w]);
    out.bias = Tensor({static_cast<std::int64_t>(gamma.size())});
    const ValueId bias = conv.inputs[ConvInput::bias];
    const std::size_t taps = out.w.values().size() / gamma.size();
    for (std::size_t c = 0; c < gamma.size(); ++c) {
      const double scale = double{gamma[c]} / std::sqrt(double{var[c]} + eps);
      for (float& w : out.w.values().subspan(c * taps, taps)) w = static_cast<float>(w * scale);
      const double b = bias == kNone ? 0.0 : double{tensor(bias).values()[c]};
      out.bias.values()[c] = static_cast<float>((b - double{mean[c]}) * scale + double{beta[c]});
    }
    const auto finite = [](float x) { return std::isfinite(x); };
    return std::ranges::all_of(out.w.values(), finite) && std::ranges::all_of(out.bias.values(), finite);
  }

  // A norm becomes its convolution; the convolution itself, which came before, was left out.
  bool fold(const Node& node) {
    if (ops::as<ops::Conv2d>(node) != nullptr) {
      const auto norm = norm_of_.find(node.outputs[0]);
      return norm != norm_of_.end() && foldable(*norm->second) != nullptr;
    }
    const Node* conv = foldable(node);
    if (conv == nullptr) return false;
    Weights& weights = folded_.at(&node);
    const std::string name = info(conv->inputs[ConvInput::w]).name;
    const ValueId bias = conv->inputs[ConvInput::bias];
    const std::vector<ValueId> inputs = {
        mapped(conv->inputs[ConvInput::x]), add(name, std::move(weights.w)),
        add(bias == kNone ? bias_beside(name) : info(bias).name, std::move(weights.bias))};
    renumbered_[static_cast<std::size_t>(node.outputs[0])] =
        result_.graph.add_node(conv->op, conv->name, inputs)[0];
    ++result_.norms;
    return true;
  }

  // The convolution that takes this norm in, or null; its weights are in folded_ then.
  const Node* foldable(const Node& norm) {
    const auto* op = ops::as<ops::BatchNorm>(norm);
    if (op == nullptr || op->options().training) return nullptr;
    const Node* conv = convolution_before(norm);
    if (conv == nullptr || folded_.contains(&norm)) return conv;
    Weights weights;
    if (!folded_into(norm, *conv, weights)) return nullptr;
    folded_.emplace(&norm, std::move(weights));
    return conv;
  }

  // "a.weight" -> "a.bias", or another that nothing has as its name.
  std::string bias_beside(const std::string& weight) {
    return names_.add(weight.substr(0, weight.rfind('.') + 1) + "bias");
  }

  ValueId add(const std::string& name, Tensor value) {
    const ValueId id = result_.graph.add_state(graph::Role::parameter, name, {value.shape(), value.dtype()});
    result_.state.emplace_back(name, std::move(value));
    return id;
  }

  ValueId mapped(ValueId id) {
    if (id == kNone) return kNone;
    ValueId& to = renumbered_[static_cast<std::size_t>(id)];
    if (to == kNone) {  // state that is read for the first time
      const ValueInfo& value = info(id);
      to = result_.graph.add_state(value.role, value.name, value.type);
      result_.state.emplace_back(value.name, tensor(id));
    }
    return to;
  }

  void copy(const Node& node) {
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(mapped(id));
    const std::vector<ValueId> outputs = result_.graph.add_node(node.op, node.name, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (node.outputs[i] != kNone) renumbered_[static_cast<std::size_t>(node.outputs[i])] = outputs[i];
    }
  }

  const ModelFile& model_;
  bool any_;  // whether anything is folded
  std::map<std::string, const Tensor*> values_;
  UniqueNames names_;
  std::unordered_map<ValueId, const Node*> norm_of_;  // what it reads
  std::vector<int> readers_;                          // how many, of each value
  std::vector<ValueId> renumbered_;
  std::map<const Node*, Weights> folded_;
  Folded result_;
};

}  // namespace

Folded fold_norms(const ModelFile& model, bool fold) {
  return Folder(model, fold).run();
}

}  // namespace resnet::io
