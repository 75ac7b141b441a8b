// Batch norms taken apart: what their neighbours can do of them, they do (ops::NormPart).
#include <algorithm>
#include <iterator>

#include "compiler/compile.h"
#include "compiler/draft.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::ValueId;
using graph::ValueType;
using ops::FusionRole;
using ops::NormPart;

class NormCarrier : public Draft {
 public:
  NormCarrier(const Graph& graph, DType activations)
      : Draft(graph), types_(storage_types(graph, activations)) {}

  void run() {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (role_of(j) != FusionRole::norm || pools(j)) continue;
      take_moments(j);
      leave_apply(j);
    }
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (role_of(j) != FusionRole::norm_gradient || pools(j)) continue;
      take_sums(j);
      leave_gradient(j);
    }
  }

 private:
  bool is_set(std::size_t j, const char* name) const {
    return nodes_[j]->attributes.integer_or(name, 0) != 0;
  }
  void set(std::size_t j, const char* name, std::int64_t value = 1) {
    nodes_[j]->attributes.set(name, value);
  }
  bool pools(std::size_t j) const { return nodes_[j]->attributes.has("pool_kernel"); }

  bool can(std::size_t k, NormPart part) const {
    const Node& node = *nodes_[k];
    const auto known = [&](ValueId id) {
      return id == kNone || static_cast<std::size_t>(id) >= types_.size()
                 ? nullptr
                 : &types_[static_cast<std::size_t>(id)];
    };
    std::vector<const ValueType*> inputs;
    std::vector<ValueType> outputs;
    for (const ValueId id : node.inputs) inputs.push_back(known(id));
    for (const ValueId id : node.outputs) outputs.push_back(known(id) != nullptr ? *known(id) : ValueType{});
    return ops::operation(node).carries_part({node.attributes, inputs, outputs}, part);
  }

  // The node whose output 0 is `id`, if it can do that part.
  std::optional<std::size_t> able_producer(ValueId id, NormPart part) const {
    const auto k = producer(id);
    return k && nodes_[*k]->outputs[0] == id && can(*k, part) ? k : std::nullopt;
  }

  // Of x a norm that computes nothing but a table knows the shape.
  void make_table_only(std::size_t j, ValueId x, ValueId table) {
    Node& norm = *nodes_[j];
    const Shape& extents = shape(x);
    norm.outputs[0] = table;
    set(j, "table_only");
    norm.attributes.set("extents", std::vector<std::int64_t>(extents.begin(), extents.end()));
  }

  void take_moments(std::size_t j) {
    Node& norm = *nodes_[j];
    if (!is_set(j, "training")) return;
    const auto k = able_producer(norm.inputs[0], NormPart::moments);
    if (!k) return;
    const ValueId moments = new_value();
    set(*k, "moments");
    nodes_[*k]->outputs.push_back(moments);
    set(j, "given");
    norm.inputs.push_back(moments);
  }

  void leave_apply(std::size_t j) {
    Node& norm = *nodes_[j];
    const ValueId z = norm.outputs[0], x = norm.inputs[0];
    if (is_set(j, "add") || leaves(z)) return;
    const auto readers = consumers(z);
    const auto reads_through = [&](std::size_t k) {
      return nodes_[k]->inputs[0] == z && std::count(readers.begin(), readers.end(), k) == 1 &&
             can(k, NormPart::apply);
    };
    if (readers.empty() || !std::all_of(readers.begin(), readers.end(), reads_through)) return;
    // The norm's gradient reads signs of z, which now follow from x.
    const ValueId table = new_value();
    if (is_set(j, "signs")) {
      for (const std::size_t k : consumers(norm.outputs.back())) {
        nodes_[k]->inputs.back() = table;
        set(k, "signs", 0);
        set(k, "table_gate");
      }
      norm.outputs.pop_back();
      set(j, "signs", 0);
    }
    for (const std::size_t k : readers) {
      Node& reader = *nodes_[k];
      reader.inputs[0] = x;
      reader.inputs.push_back(table);
      set(k, "norm");
      set(k, "relu", norm.attributes.integer_or("relu", 0));
    }
    set(j, "relu", 0);
    make_table_only(j, x, table);
    if (is_set(j, "given")) norm.inputs[0] = kNone;
  }

  void take_sums(std::size_t j) {
    Node& gradient = *nodes_[j];
    const ValueId dz = gradient.inputs[0];
    const bool by_signs = is_set(j, "signs");
    if (!is_set(j, "relu") || !(by_signs || is_set(j, "table_gate"))) return;
    if (consumers(dz).size() != 1 || leaves(dz)) return;
    const auto k = able_producer(dz, NormPart::sums);
    if (!k) return;
    const ValueId sums = new_value(), gate = gradient.inputs.back(), x = gradient.inputs[1],
                  mean = gradient.inputs[3];
    Node& maker = *nodes_[*k];
    set(*k, "sums", by_signs ? 2 : 1);
    maker.inputs.push_back(x);
    if (by_signs) maker.inputs.push_back(mean);
    maker.inputs.push_back(gate);
    maker.outputs.push_back(sums);
    gradient.inputs.back() = sums;
    for (const char* gone : {"relu", "signs", "table_gate"}) set(j, gone, 0);
    set(j, "given");
    if (!is_set(j, "add")) return;
    // Who read the gated gradient from here reads it where it is made.
    const ValueId gated = gradient.outputs.back();
    gradient.outputs.pop_back();
    set(j, "add", 0);
    for (const std::size_t reader : consumers(gated))
      std::replace(nodes_[reader]->inputs.begin(), nodes_[reader]->inputs.end(), gated, dz);
  }

  void leave_gradient(std::size_t j) {
    Node& gradient = *nodes_[j];
    const ValueId dx = gradient.outputs[0], dz = gradient.inputs[0], x = gradient.inputs[1];
    if (!is_set(j, "given") || leaves(dx)) return;
    const auto readers = consumers(dx);
    // All others read dx behind the one that makes it.
    if (readers.empty()) return;
    Node& maker = *nodes_[readers[0]];
    if (maker.inputs[0] == dx || maker.inputs[1] != dx || !can(readers[0], NormPart::gradient)) return;
    const ValueId table = new_value();
    make_table_only(j, x, table);
    gradient.inputs[0] = gradient.inputs[1] = kNone;
    maker.inputs[1] = dz;
    maker.inputs.push_back(x);
    maker.inputs.push_back(table);
    maker.outputs.push_back(dx);
    set(readers[0], "norm_gradient");
  }

  std::vector<ValueType> types_;  // as stored
};

}  // namespace

Graph carry_norms(const Graph& graph, DType activations) {
  NormCarrier carrier(graph, activations);
  carrier.run();
  return carrier.rebuild();
}

}  // namespace resnet::compiler
