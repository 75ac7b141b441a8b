// What an operation is: one immutable object with its options that owns its algebra: shape rule, gradient
// rule, cost, readable evaluation in double, and what it is together with a neighbour. How a machine computes
// it is a target's business (compiler/target.h).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/attributes.h"
#include "resnet/graph.h"

namespace resnet::ops {

using graph::Attributes;
using graph::Op;
using graph::ValueId;
using graph::ValueType;

/// Types of a node's operands by slot: null for an absent input, rank 0 for an absent output. Where a target
/// is asked they are those that are stored.
struct Signature {
  std::span<const ValueType* const> inputs;
  std::span<const ValueType> outputs;
};

/// The types of a node's operands. `type_of` gives the type of a value, or null where it has none yet.
class OperandTypes {
 public:
  template <class TypeOf>
  OperandTypes(const graph::Node& node, const TypeOf& type_of) {
    for (const ValueId id : node.inputs) inputs_.push_back(id == graph::kNone ? nullptr : type_of(id));
    for (const ValueId id : node.outputs) {
      const ValueType* type = id == graph::kNone ? nullptr : type_of(id);
      outputs_.push_back(type == nullptr ? ValueType{} : *type);
    }
  }
  OperandTypes(const graph::Node& node, const graph::Graph& graph)
      : OperandTypes(node, [&](ValueId id) { return &graph.value(id).type; }) {}
  Signature signature() const noexcept { return {inputs_, outputs_}; }

 private:
  std::vector<const ValueType*> inputs_;
  std::vector<ValueType> outputs_;
};

/// What an input of a network's operation is: it decides where the value may come from, and its layout.
enum class Use : std::uint8_t {
  activation,  // [N,C,H,W] or [N,C], image by image
  weight,      // of a convolution or a linear layer
  channels,    // a number for each channel: a bias, a statistic
  seed,        // of dropout
};

/// Floating-point operations of one evaluation (a multiplication and an addition count two) of the
/// direct algorithm, padding counted.
struct Cost {
  double flops = 0;
};

/// What the gradient rule of a node sees and writes.
class GradientScope {
 public:
  virtual ~GradientScope() = default;
  virtual const graph::Node& node() const = 0;
  ValueId input(std::size_t slot) const { return node().inputs.at(slot); }
  ValueId output(std::size_t slot) const { return node().outputs.at(slot); }
  virtual const ValueType& type(ValueId value) const = 0;
  /// Gradient of an output, or kNone if nothing depends on it.
  virtual ValueId output_gradient(std::size_t slot) const = 0;
  /// Whether anybody asks for the gradient of an input.
  virtual bool wants(std::size_t slot) const = 0;
  /// Adds a node of the gradient graph.
  virtual std::vector<ValueId> emit(Op op, std::vector<ValueId> inputs) = 0;
  /// Gradient of an input; contributions to one value are summed.
  virtual void set(std::size_t slot, ValueId gradient) = 0;
  /// Whether the sum of `value` over all axes but the channels is zero by the algebra of its producer.
  virtual bool sums_to_zero(ValueId value) const = 0;
};

/// How a gradient knows where a ReLU let its input pass: where z > 0 or, as in PyTorch, NaN.
enum class Gate : std::uint8_t {
  none,          // there is no ReLU
  value,         // the ReLU's result z
  mask,          // a bit for each element
  coefficients,  // the batch norm's coefficients before the ReLU, from which z follows
};

class Operation;

/// What an operation's main input and main result are; most have no other.
inline constexpr std::size_t kMainInput = 0, kMainOutput = 0;

/// From a slot of the neighbour to a slot of the operation that has it in it.
struct Move {
  std::size_t from = 0, to = 0;
};

/// An operation with a neighbour in it, and where the neighbour's other operand and other result go.
struct Fusion {
  std::shared_ptr<const Operation> op;
  std::optional<Move> input = {}, output = {};
};

class Operation : public graph::OpRules {
 public:
  /// Emits the gradient. The default throws: the operation is not differentiable.
  virtual void gradient(GradientScope& scope) const;
  virtual Cost cost(const Signature& signature) const;
  virtual Use use_of(std::size_t /*input*/) const noexcept { return Use::activation; }
  /// The readable reference: every operand in double, public layout, by slot. An absent input has null data,
  /// and so has an absent output.
  virtual void evaluate(const Signature& signature, std::span<const View<const double>> inputs,
                        std::span<const View<double>> outputs) const = 0;
  /// Whether an output, summed over all axes but the channels, is zero by algebra.
  virtual bool sums_to_zero(std::size_t output) const;
  /// This operation and `next`, whose input `slot` is this one's main output, in one.
  virtual std::optional<Fusion> with_epilogue(const Operation& next, std::size_t slot) const;
  /// This operation and `previous`, whose main output is this one's main input, in one. `shared`: others read
  /// that value too, so that the one gives it as a further output.
  virtual std::optional<Fusion> with_prologue(const Operation& previous, bool shared) const;
  /// None: what only the compiler makes is in no file.
  Attributes attributes() const override;
};

/// What operations of type O tell of themselves by constants: their name, and the names of their inputs by
/// slot.
template <class O, bool kReadable>
class OperationOf : public Operation {
 public:
  std::string_view name() const noexcept final { return O::kName; }
  std::span<const std::string_view> input_names() const noexcept final { return O::kInputs; }
  bool for_inference() const noexcept final { return kReadable; }
};
/// An operation of networks, which files may hold.
template <class O>
using ReadableOperation = OperationOf<O, true>;
/// An operation that only the compiler makes: gradients, losses, updates, fused ones.
template <class O>
using CompiledOperation = OperationOf<O, false>;

/// An operation of type O with its options.
template <class O, class... Options>
std::shared_ptr<const O> make(Options&&... options) {
  return std::make_shared<const O>(std::forward<Options>(options)...);
}

/// Makes an operation that has no options from the text form.
template <class O>
Op read_without_options(const Attributes& attributes) {
  graph::AttributeReader(attributes).finish();
  return make<O>();
}

/// The operation of a node.
inline const Operation& operation(const graph::Node& node) {
  return static_cast<const Operation&>(*node.op);
}
/// The same as an O, or null if it is another.
template <class O>
const O* as(const graph::Node& node) {
  return dynamic_cast<const O*>(node.op.get());
}

/// One kind of operation: its name, and how the text form's options make one. What stands only in graphs that
/// the compiler makes cannot be read.
struct Kind {
  std::string_view name;
  Op (*read)(const Attributes& attributes) = nullptr;
};
/// All kinds, in the explicit list of registry.cpp.
std::span<const Kind> all();
/// As graph::from_json wants it. Throws FormatError for an operation that is not for inference.
Op read(std::string_view name, const Attributes& attributes);

}  // namespace resnet::ops
