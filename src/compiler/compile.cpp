#include "compiler/compile.h"

#include <algorithm>
#include <utility>

#include "compiler/offsets.h"
#include "compiler/passes.h"
#include "compiler/value_index.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::Role;
using graph::ValueId;
using plan::Buffer;
using plan::Plan;
using plan::Region;

std::int64_t bytes_of(const graph::ValueType& type) {
  return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
}

// Values to buffers: which values share one, and how long each lives.
class Placement {
 public:
  Placement(const StoredGraph& stored, const Target& target, const plan::StateLayout& layout, Plan& plan)
      : graph_(stored.graph), types_(stored.types), target_(target), plan_(plan) {
    buffer_of_.assign(graph_.values().size(), -1);
    find_last_reads();
    find_constants();
    place_state(layout);
    place_values();
  }

  int buffer(ValueId id) const { return id == kNone ? -1 : buffer_of_[at(id)]; }
  bool read(ValueId id) const { return last_read_[at(id)] >= 0; }

  // Whether a value stays the same until the state changes.
  bool constant(ValueId id) const { return id == kNone || constant_[at(id)]; }
  bool constant(const Node& node) const {
    return graph_.updates().empty() &&
           std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return constant(id); });
  }

  // Memory of one call beside its operands. That of a constant call is written when the inputs already stand.
  int add_workspace(std::int64_t bytes, int call) {
    const int first = constant(graph_.nodes()[at(call)]) ? 0 : call;
    return bytes == 0 ? -1 : add_buffer({Region::work, 0, bytes, first, call});
  }
  int add_prepared(std::int64_t bytes) {
    const std::int64_t offset = plan_.prepared_bytes;
    plan_.prepared_bytes += plan::aligned(bytes, target_.alignment());
    return add_buffer({Region::prepared, offset, bytes, 0, static_cast<int>(graph_.nodes().size())});
  }

 private:
  int add_buffer(const Buffer& buffer) {
    plan_.buffers.push_back(buffer);
    return static_cast<int>(plan_.buffers.size()) - 1;
  }

  void find_last_reads() {
    last_read_.assign(graph_.values().size(), -1);
    const auto nodes = static_cast<int>(graph_.nodes().size());
    for (int k = 0; k < nodes; ++k) {
      for (const ValueId id : graph_.nodes()[at(k)].inputs) {
        if (id != kNone) last_read_[at(id)] = k;
      }
    }
    for (const auto& [name, id] : graph_.outputs()) last_read_[at(id)] = nodes;
    for (const graph::Update& update : graph_.updates()) last_read_[at(update.value)] = nodes;
  }

  // State that no run changes, and what follows from that alone.
  void find_constants() {
    constant_.assign(graph_.values().size(), false);
    if (!graph_.updates().empty()) return;
    for (std::size_t i = 0; i < constant_.size(); ++i) {
      constant_[i] = graph::is_state(graph_.values()[i].role);
    }
    for (const Node& node : graph_.nodes()) {
      for (const ValueId id : node.outputs) {
        if (id != kNone) constant_[at(id)] = constant(node);
      }
    }
  }

  // State, and the values that update it: they are written straight into its place.
  void place_state(const plan::StateLayout& layout) {
    const auto nodes = static_cast<int>(graph_.nodes().size());
    for (std::size_t i = 0; i < graph_.values().size(); ++i) {
      const graph::ValueInfo& value = graph_.values()[i];
      if (!graph::is_state(value.role)) continue;
      const plan::StateLayout::Entry* entry = layout.find(value.name);
      if (entry == nullptr) throw FormatError("state '" + value.name + "' has no place");
      buffer_of_[i] = add_buffer({Region::state, entry->offset, entry->bytes, 0, nodes});
    }
    for (const graph::Update& update : graph_.updates()) {
      const std::int32_t producer = graph_.value(update.value).producer;
      if (producer < last_read_[at(update.state)] ||
          (producer == last_read_[at(update.state)] && !takes_over(producer, update.value, update.state))) {
        throw FormatError("'" + graph_.value(update.state).name + "' is read after its update");
      }
      buffer_of_[at(update.value)] = buffer_of_[at(update.state)];
    }
  }

  bool takes_over(int k, ValueId output, ValueId input) const {
    const Node& node = graph_.nodes()[at(k)];
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      if (node.outputs[o] != output) continue;
      for (const std::size_t i : target_.in_place(ops::operation(node), o)) {
        if (node.inputs.at(i) == input) return true;
      }
    }
    return false;
  }

  void place_values() {
    for (std::size_t i = 0; i < graph_.values().size(); ++i) {
      const graph::ValueInfo& value = graph_.values()[i];
      if (value.role == Role::input) {
        buffer_of_[i] = add_buffer({Region::work, 0, bytes_of(types_[i]), 0, std::max(0, last_read_[i])});
      }
    }
    const auto nodes = static_cast<int>(graph_.nodes().size());
    for (int k = 0; k < nodes; ++k) {
      const Node& node = graph_.nodes()[at(k)];
      std::vector<int> taken;  // buffers that an output of this node has taken over
      for (std::size_t o = 0; o < node.outputs.size(); ++o) {
        const ValueId id = node.outputs[o];
        if (id == kNone || buffer_of_[at(id)] >= 0) continue;
        // An output that nobody reads has no place: its operand is null, or, where the kernel writes
        // it anyway (output 0), a place for the time of the call.
        if (!read(id) && o > 0 && target_.optional_output(ops::operation(node), o)) continue;
        if (constant(id)) {
          buffer_of_[at(id)] = add_prepared(bytes_of(types_[at(id)]));
          continue;
        }
        int buffer = inherited(node, k, o, taken);
        if (buffer >= 0) {
          taken.push_back(buffer);
        } else {
          buffer = add_buffer({Region::work, 0, bytes_of(types_[at(id)]), k, k});
        }
        buffer_of_[at(id)] = buffer;
        Buffer& b = plan_.buffers[at(buffer)];
        b.last = std::max(b.last, last_read_[at(id)]);
      }
    }
  }

  // The buffer of an operand that output `o` of node k may overwrite, or -1.
  int inherited(const Node& node, int k, std::size_t o, const std::vector<int>& taken) const {
    for (const std::size_t i : target_.in_place(ops::operation(node), o)) {
      const ValueId id = node.inputs.at(i);
      if (id == kNone || graph_.value(id).role != Role::computed || last_read_[at(id)] != k) continue;
      const int buffer = buffer_of_[at(id)];
      const Buffer& b = plan_.buffers[at(buffer)];
      if (b.region != Region::work || b.bytes != bytes_of(types_[at(node.outputs[o])])) continue;
      // Another operand in the same memory would be overwritten before the kernel has read it.
      const auto sharers = std::count_if(node.inputs.begin(), node.inputs.end(), [&](ValueId other) {
        return other != kNone && buffer_of_[at(other)] == buffer;
      });
      if (sharers == 1 && std::count(taken.begin(), taken.end(), buffer) == 0) return buffer;
    }
    return -1;
  }

  const Graph& graph_;
  const std::vector<graph::ValueType>& types_;  // stored
  const Target& target_;
  Plan& plan_;
  std::vector<int> buffer_of_;
  std::vector<int> last_read_;  // node; number of nodes: read from outside; -1: never
  std::vector<bool> constant_;
};

// The inputs of a kernel: all slots that are always listed, and of the others those that are not absent.
std::vector<ValueId> inputs_of(const Node& node) {
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (i < node.op->listed_inputs() || node.inputs[i] != kNone) inputs.push_back(node.inputs[i]);
  }
  return inputs;
}

// Gives a call its operands, inputs and the outputs that are there, and the memory that its kernel needs
// beside them. What the kernel prepares is kept where it follows from constants alone; else it stands at the
// front of the workspace.
void place_call(const Node& node, const StoredGraph& stored, Placement& placement, int number,
                plan::Call& call) {
  const std::vector<ValueId> inputs = inputs_of(node);
  for (const ValueId id : inputs) call.operands.push_back(placement.buffer(id));
  for (const ValueId id : node.outputs) {
    if (id == kNone) continue;
    call.operands.push_back(placement.buffer(id));
    const graph::ValueType& type = stored.types[at(id)];
    if (placement.buffer(id) >= 0)
      call.outputs.push_back({placement.buffer(id), type.dtype, type.shape.elements()});
  }
  const kernels::PlannedKernel& kernel = *call.kernel;
  call.constant = placement.constant(node);
  const std::int64_t prepared = kernel.prepared_bytes();
  bool kept = prepared > 0 && !call.constant;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    kept = kept && (!kernel.prepares_from(i) || placement.constant(inputs[i]));
  if (kept) call.prepared = placement.add_prepared(prepared);
  std::int64_t workspace = kernel.workspace_bytes();
  if (!kept && prepared > 0) workspace = workspace > 0 ? plan::aligned(prepared) + workspace : prepared;
  call.workspace = placement.add_workspace(workspace, number);
}

StoredGraph run_passes(const Graph& graph, const Target& target, const CompileOptions& options) {
  if (!options.fuse) return store(graph, target, options.activations);
  return fuse_norms(fuse_evaluation(store(fuse(graph, target), target, options.activations), target), target);
}

}  // namespace

Plan compile(const Graph& network, const Target& target, const plan::StateLayout& layout,
             const CompileOptions& options) {
  Plan plan;
  target.check(options.activations);
  plan.target = target.name();
  plan.state_bytes = layout.bytes();
  const StoredGraph stored = run_passes(network, target, options);
  const Graph& graph = stored.graph;
  Placement placement(stored, target, layout, plan);
  for (const Node& node : graph.nodes()) {
    const ops::OperandTypes types(node, [&](ValueId id) { return &stored.types[at(id)]; });
    Lowering lowering = target.lower(node, types.signature());

    plan::Call call;
    call.kernel = std::move(lowering.kernel);
    call.op = node.op->name();
    call.node = node.name;
    call.reason = std::move(lowering.reason);
    call.flops = ops::operation(node).cost(types.signature()).flops;
    place_call(node, stored, placement, static_cast<int>(plan.calls.size()), call);
    plan.scratch_bytes =
        std::max(plan.scratch_bytes, plan::aligned(call.kernel->scratch_bytes(), target.alignment()));
    plan.calls.push_back(std::move(call));
  }
  assign_offsets(plan, target.alignment());
  for (std::size_t i = 0; i < graph.values().size(); ++i) {
    const graph::ValueInfo& value = graph.values()[i];
    if (value.role == Role::input) {
      plan.inputs.push_back(
          {value.name, value.type.shape, value.type.dtype, placement.buffer(static_cast<ValueId>(i))});
    }
  }
  for (const auto& [name, id] : graph.outputs()) {
    const graph::ValueType& type = graph.value(id).type;
    plan.outputs.push_back({name, type.shape, type.dtype, placement.buffer(id)});
  }
  return plan;
}

}  // namespace resnet::compiler
