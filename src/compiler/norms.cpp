// Batch norms taken apart: what their neighbours can do of them, they do (ops::NormPart).
#include <algorithm>
#include <utility>

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
      if (role_of(j) == FusionRole::norm && pools(j)) leave_pool(j);
    }
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

  // Calls ask(operation, signature) of node k.
  template <class Ask>
  auto ask(std::size_t k, const Ask& question) const {
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
    return question(ops::operation(node), ops::Signature{node.attributes, inputs, outputs});
  }
  bool can(std::size_t k, NormPart part) const {
    return ask(k, [&](const ops::Operation& operation, const ops::Signature& signature) {
      return operation.carries_part(signature, part);
    });
  }
  const ops::Operation* pooled(std::size_t k, const graph::Attributes& pool) const {
    return ask(k, [&](const ops::Operation& operation, const ops::Signature& signature) {
      return operation.pooled(signature, pool);
    });
  }

  // The node whose output 0 is `id`, if it can do that part.
  std::optional<std::size_t> able_producer(ValueId id, NormPart part) const {
    const auto k = producer(id);
    return k && nodes_[*k]->outputs[0] == id && can(*k, part) ? k : std::nullopt;
  }

  // Of its maps a norm that computes nothing but a table knows the shape, that of `map`.
  void make_table_only(std::size_t j, ValueId map, ValueId table) {
    Node& norm = *nodes_[j];
    const Shape& extents = shape(map);
    norm.outputs[0] = table;
    set(j, "table_only");
    norm.attributes.set("extents", std::vector<std::int64_t>(extents.begin(), extents.end()));
  }

  // A norm behind which a pool chooses among x: if its neighbours can, x and dx are no maps any more.
  void leave_pool(std::size_t j) {
    Node& norm = *nodes_[j];
    const bool training = is_set(j, "training");
    const ValueId x = norm.inputs[0], index = norm.outputs.back();
    const auto k = producer(x);
    if (!k || leaves(x)) return;
    const ops::Operation* const result = pooled(*k, norm.attributes);
    const auto readers = consumers(x);
    if (result == nullptr || readers.size() != (training ? 2U : 1U)) return;
    const ValueId chosen = new_value(), moments = new_value();
    if (training) {
      const std::size_t g = readers[0] == j ? readers[1] : readers[0];
      if (role_of(g) != FusionRole::norm_gradient || !pools(g) ||
          !leave_pooled_gradient(g, *nodes_[*k], chosen, moments, norm))
        return;
      set(j, "given");
      norm.attributes.set("samples", samples_of(x));
      norm.inputs.push_back(moments);
    }
    Node& maker = *nodes_[*k];
    for (const auto& [name, value] : norm.attributes.entries()) {
      if (name.starts_with("pool_")) maker.attributes.set(name, value);
    }
    maker.op = result;
    maker.inputs.push_back(norm.inputs[1]);
    maker.outputs = {chosen, index, moments};
    norm.inputs[0] = chosen;
    norm.outputs.pop_back();
    forget_pool(norm);
    if (!training || !is_set(j, "relu")) return;
    // Signs, that the producer of dz may gate it.
    const ValueId signs = new_value();
    norm.outputs.push_back(signs);
    set(j, "signs");
    for (const std::size_t g : consumers(moments)) {
      if (role_of(g) != FusionRole::norm_gradient) continue;
      nodes_[g]->inputs[kGate] = signs;
      set(g, "signs");
    }
  }

  // The gradient of such a norm, whose dx only a weight gradient may read.
  bool leave_pooled_gradient(std::size_t g, const Node& maker, ValueId chosen, ValueId moments,
                             const Node& norm) {
    Node& gradient = *nodes_[g];
    const ValueId dx = gradient.outputs[0], z = norm.outputs[0], index = norm.outputs.back();
    const auto readers = consumers(dx);
    if (readers.size() != 1 || leaves(dx)) return false;
    Node& weights = *nodes_[readers[0]];
    if (weights.inputs.size() < 2 || weights.inputs[0] != maker.inputs[0] || weights.inputs[1] != dx)
      return false;
    const ops::Operation* const result = pooled(readers[0], norm.attributes);
    if (result == nullptr) return false;
    const ValueId table = new_value();
    for (const auto& [name, value] : norm.attributes.entries()) {
      if (name.starts_with("pool_")) weights.attributes.set(name, value);
    }
    weights.op = result;
    weights.inputs = maker.inputs;
    const ValueId gate = is_set(g, "relu") ? z : kNone;
    for (const ValueId id : {gradient.inputs[0], index, gate, table}) weights.inputs.push_back(id);
    gradient.inputs[1] = chosen;
    gradient.inputs.erase(gradient.inputs.begin() + 5);  // the index
    gradient.inputs.push_back(moments);
    gradient.attributes.set("samples", samples_of(norm.inputs[0]));
    forget_pool(gradient);
    make_table_only(g, z, table);
    return true;
  }

  std::int64_t samples_of(ValueId x) const { return shape(x).elements() / shape(x)[1]; }

  static void forget_pool(Node& node) {
    graph::Attributes kept;
    for (const auto& [name, value] : node.attributes.entries()) {
      if (!name.starts_with("pool_")) kept.set(name, value);
    }
    node.attributes = std::move(kept);
  }

  void take_moments(std::size_t j) {
    Node& norm = *nodes_[j];
    if (!is_set(j, "training") || is_set(j, "given")) return;
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
        nodes_[k]->inputs[kGate] = table;
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
    make_table_only(j, z, table);
    if (is_set(j, "given")) norm.inputs[0] = kNone;
  }

  void take_sums(std::size_t j) {
    Node& gradient = *nodes_[j];
    const ValueId dz = gradient.inputs[0];
    const bool by_signs = is_set(j, "signs");
    if (!is_set(j, "relu") || !(by_signs || is_set(j, "table_gate"))) return;
    // Behind a pool, who applies the table reads dz too.
    const auto applies =
        is_set(j, "table_only") ? consumers(gradient.outputs[0]) : std::vector<std::size_t>{};
    if (consumers(dz).size() != 1 + applies.size() || leaves(dz)) return;
    const auto k = able_producer(dz, NormPart::sums);
    if (!k) return;
    const ValueId sums = new_value(), gate = gradient.inputs[kGate], x = gradient.inputs[1],
                  mean = gradient.inputs[3];
    Node& maker = *nodes_[*k];
    set(*k, "sums", by_signs ? 2 : 1);
    maker.inputs.push_back(x);
    if (by_signs) maker.inputs.push_back(mean);
    maker.inputs.push_back(gate);
    maker.outputs.push_back(sums);
    gradient.inputs[kGate] = sums;
    for (const char* gone : {"relu", "signs", "table_gate"}) set(j, gone, 0);
    set(j, "given");
    if (is_set(j, "table_only")) {  // behind a pool: whoever applies the table need not gate
      gradient.inputs[0] = gradient.inputs[1] = kNone;
      for (const std::size_t reader : applies) nodes_[reader]->inputs[kPooledGate] = kNone;
    }
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
    if (!is_set(j, "given") || is_set(j, "table_only") || leaves(dx)) return;
    const auto readers = consumers(dx);
    // All others read dx behind the one that makes it.
    if (readers.empty()) return;
    Node& maker = *nodes_[readers[0]];
    if (maker.inputs[0] == dx || maker.inputs[1] != dx || !can(readers[0], NormPart::gradient)) return;
    const ValueId table = new_value();
    make_table_only(j, dx, table);
    gradient.inputs[0] = gradient.inputs[1] = kNone;
    maker.inputs[1] = dz;
    maker.inputs.push_back(x);
    maker.inputs.push_back(table);
    maker.outputs.push_back(dx);
    set(readers[0], "norm_gradient");
  }

  // Where a norm's gradient has what gates dz, and a pooled weight gradient z.
  static constexpr std::size_t kGate = 5, kPooledGate = 5;

  std::vector<ValueType> types_;  // as stored
};

}  // namespace

Graph carry_norms(const Graph& graph, DType activations) {
  NormCarrier carrier(graph, activations);
  carrier.run();
  return carrier.rebuild();
}

}  // namespace resnet::compiler
