#include <optional>
#include <utility>

#include "compiler/draft.h"
#include "compiler/passes.h"
#include "ops/add.h"
#include "ops/batch_norm.h"
#include "ops/max_pool.h"
#include "ops/relu.h"

namespace resnet::compiler {
namespace {

using graph::Graph;
using graph::kNone;
using graph::Node;
using graph::ValueId;
using ops::BatchNorm;
using ops::BatchNormGradient;
using ops::Gate;
using ops::kMainInput;
using ops::kMainOutput;
using ops::MaxPool;
using ops::MaxPoolGradient;
using ops::ReluGradient;

// Fuses operations with neighbours. A fused node stands at one of the two places.
class FusePass : public Draft {
 public:
  using Draft::Draft;

  // With y = max_pool(z) and z >= 0, the gradient that a pool spreads lies where z is y. So the mask of
  // the ReLU that made z can be y > 0 before it is spread, and z need not be kept for it.
  void mask_before_spreading() {
    using Relu = ops::ReluGradientInput;
    using Pool = ops::MaxPoolGradientInput;
    for (std::size_t j = 0; j < places(); ++j) {
      if (op<ReluGradient>(j) == nullptr) continue;
      Node mask = node(j);
      const ValueId spread_gradient = mask.inputs[Relu::dy];
      const auto k = producer(spread_gradient);
      if (!k || op<MaxPoolGradient>(*k) == nullptr) continue;
      if (consumers(spread_gradient).size() != 1 || is_result(spread_gradient)) continue;
      Node spread = node(*k);
      const auto pool = producer(spread.inputs[Pool::index]);
      if (!pool || op<MaxPool>(*pool) == nullptr ||
          node(*pool).inputs[ops::MaxPoolInput::x] != mask.inputs[Relu::y])
        continue;
      const ValueId between = spread.outputs[kMainOutput], end = mask.outputs[kMainOutput];
      mask.inputs = {spread.inputs[Pool::dy], node(*pool).outputs[ops::MaxPoolOutput::y]};
      mask.outputs = {between};
      spread.inputs[Pool::dy] = between;
      spread.outputs = {end};
      replace(*k, std::move(mask));
      replace(j, std::move(spread));
    }
  }

  void fuse_epilogues() {
    for (std::size_t j = 0; j < places(); ++j) {
      if (!has(j)) continue;
      // Into the later of two producers: the other's result is there when it ends.
      const std::vector<ValueId>& inputs = node(j).inputs;
      const bool sum = op<ops::Add>(j) != nullptr;
      const bool swapped = sum && producer(inputs[ops::AddInput::a]) < producer(inputs[ops::AddInput::b]);
      for (std::size_t slot = 0; slot < inputs.size(); ++slot) {
        if (fuse_into_producer(j, swapped ? ops::AddInput::other(slot) : slot)) break;
      }
    }
  }

  // Gradients of type O.
  template <class O>
  void fuse_prologues() {
    for (std::size_t j = 0; j < places(); ++j) {
      if (op<O>(j) == nullptr) continue;
      for (const std::size_t consumer : consumers(node(j).outputs[kMainOutput])) {
        if (fuse_into_consumer(j, consumer)) break;
      }
    }
  }

  // Bits instead of values, where a norm's gradient asks only where its ReLU let x pass.
  void gate_by_masks() {
    for (std::size_t j = 0; j < places(); ++j) {
      const auto* gradient = op<BatchNormGradient>(j);
      if (gradient == nullptr || gradient->options().gate != Gate::value || gradient->options().pool)
        continue;
      const ValueId mask = mask_of(node(j).inputs[ops::BatchNormGradientInput::gate]);
      if (mask == kNone) continue;
      set_input(j, ops::BatchNormGradientInput::gate, mask);
      change<BatchNormGradient>(j, [](ops::BatchNormGradientOptions& o) { o.gate = Gate::mask; });
    }
  }

 private:
  // The mask of the ReLU that makes z as part of a norm, or kNone.
  ValueId mask_of(ValueId z) {
    const auto k = main_producer(z);
    const auto* norm = k ? op<BatchNorm>(*k) : nullptr;
    if (norm == nullptr) return kNone;
    const ops::BatchNormOptions& options = norm->options();
    if (options.relu_mask) return node(*k).outputs[ops::BatchNormOutput::relu_mask];
    const auto add = [](ops::BatchNormOptions& o) { o.relu_mask = true; };
    if (!options.relu || options.pool || !options.training || !could<BatchNorm>(*k, add)) return kNone;
    const ValueId mask = new_value({shape(z), DType::u8});
    set_output(*k, ops::BatchNormOutput::relu_mask, mask);
    change<BatchNorm>(*k, add);
    return mask;
  }

  static void move_operands(const ops::Fusion& fusion, const Node& node, Node& fused) {
    if (fusion.input) fused.inputs[fusion.input->to] = node.inputs[fusion.input->from];
    if (fusion.output) fused.outputs[fusion.output->to] = node.outputs[fusion.output->from];
  }

  // Node j (an addition, a ReLU or a pool) becomes the epilogue of the node that makes its operand. The fused
  // node stands at j, where all its operands exist.
  bool fuse_into_producer(std::size_t j, std::size_t slot) {
    const Node& next = node(j);
    const ValueId value = next.inputs[slot];
    const auto k = main_producer(value);
    if (!k) return false;
    const Node& first = node(*k);
    const auto fusion = ops::operation(first).with_epilogue(ops::operation(next), slot);
    if (!fusion || consumers(value).size() != 1 || is_result(value) || !serves(first, *fusion->op))
      return false;
    for (const ValueId output : first.outputs) {
      if (output == kNone || output == value) continue;
      const auto& readers = consumers(output);
      if (!readers.empty() && readers.front() <= j) return false;
    }
    Node fused = first;
    fused.op = fusion->op;
    fused.outputs[kMainOutput] = next.outputs[kMainOutput];
    move_operands(*fusion, next, fused);
    remove(*k);
    replace(j, std::move(fused));
    return true;
  }

  // Node j (the gradient of a ReLU or of a pool) becomes the prologue of node `c`, which stands at j from
  // then on: all its other operands must exist there.
  bool fuse_into_consumer(std::size_t j, std::size_t c) {
    const Node& first = node(j);
    const Node& last = node(c);
    const ValueId value = first.outputs[kMainOutput];
    const bool shared = consumers(value).size() > 1;
    if (last.inputs[kMainInput] != value || is_result(value)) return false;
    const auto fusion = ops::operation(last).with_prologue(ops::operation(first), shared);
    if (!fusion || !serves(last, *fusion->op)) return false;
    for (const ValueId input : last.inputs) {
      const auto k = input == kNone || input == value ? std::nullopt : producer(input);
      if (k && *k >= j) return false;
    }
    Node fused = last;
    fused.op = fusion->op;
    fused.inputs[kMainInput] = first.inputs[kMainInput];
    move_operands(*fusion, first, fused);
    remove(c);
    replace(j, std::move(fused));
    return true;
  }
};

std::vector<graph::ValueType> public_types(const Graph& graph) {
  std::vector<graph::ValueType> types;
  for (const graph::ValueInfo& value : graph.values()) types.push_back(value.type);
  return types;
}

}  // namespace

Graph fuse(const Graph& graph, const Target& target) {
  const StoredGraph stored{graph, public_types(graph)};
  FusePass draft(stored, target);
  draft.mask_before_spreading();
  draft.fuse_epilogues();
  draft.fuse_prologues<MaxPoolGradient>();
  draft.fuse_prologues<ReluGradient>();
  draft.gate_by_masks();
  return draft.rebuild().graph;
}

}  // namespace resnet::compiler
