// What an operation is: one object that owns its shape rule, its gradient, its cost, its readable
// evaluation in double and its native kernel. Passes, executor, trainer and files know this
// interface and no single operation.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/graph.h"

namespace resnet::ops {

using graph::Attributes;
using graph::ValueId;
using graph::ValueType;

/// Types of a node's operands; null for an absent optional input. Where a node is lowered they are those
/// that are stored.
struct Signature {
  const Attributes& attributes;
  std::span<const ValueType* const> inputs;
  std::span<const ValueType> outputs;
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
  ValueId input(std::size_t i) const { return node().inputs.at(i); }
  ValueId output(std::size_t i) const { return node().outputs.at(i); }
  virtual const ValueType& type(ValueId value) const = 0;
  /// Gradient of output i, or kNone if nothing depends on it.
  virtual ValueId output_gradient(std::size_t i) const = 0;
  /// Whether anybody asks for the gradient of input i.
  virtual bool wants(std::size_t i) const = 0;
  /// Adds a node of the gradient graph.
  virtual std::vector<ValueId> emit(std::string_view op, Attributes attributes,
                                    std::vector<ValueId> inputs) = 0;
  /// Gradient of input i; contributions to one value are summed.
  virtual void set(std::size_t i, ValueId gradient) = 0;
  /// Whether the sum of `value` over all axes but the channels is zero by the algebra of its producer.
  virtual bool sums_to_zero(ValueId value) const = 0;
};

/// The kernel chosen for a node, and why: for the printed plan.
struct Lowering {
  std::unique_ptr<kernels::Kernel> kernel;
  std::string reason;
};

/// The part an operation can play in a neighbour that carries it.
///   add, relu       at the end of its producer: attribute `add` (the residual becomes the last
///                   input) or `relu`
///   max_pool        at the end of its producer: its attributes with `pool_` in front of their names
///                   (the index becomes the last output)
///   relu_gradient   at the start of its consumer's input 0: attribute `relu` (the ReLU's output
///                   becomes the last input)
///   shared_relu_gradient   the same where others read the masked gradient too: attribute `add` gives it
///                   as one more output
///   max_pool_gradient   at the start of its consumer's input 0: its attributes with `pool_` in front (the
///                   index becomes the last input)
///   norm, norm_gradient   in parts: see NormPart
enum class FusionRole : std::uint8_t {
  none,
  add,
  relu,
  max_pool,
  relu_gradient,
  shared_relu_gradient,
  max_pool_gradient,
  norm,
  norm_gradient
};

/// What a neighbour can do of a batch norm, so that this goes over its maps less often. The norm learns of it
/// by its attributes `given` (moments or sums are its last input) and `table_only` (output 0 is the table of
/// what remains to be done, of maps of its attribute `extents`); kernels/norm/norm.h has the tables.
///   moments    the producer of x gathers them: attribute `moments`, its last output
///   apply      a consumer of the result, as its input 0, reads x instead: attributes `norm` and `relu`, the
///              table becomes the last input
///   sums       the producer of the gradient dz gates it by the ReLU and gathers sums: attribute `sums`, 1 by
///   the
///              norm's table, 2 by signs; x, the table or mean, and signs become the last inputs, the sums
///              the last output
///   gradient   a consumer of dx, as its input 1, makes it of dz: attribute `norm_gradient`; x and the table
///              become the last inputs, dx the last output
enum class NormPart : std::uint8_t { moments, apply, sums, gradient };

class Operation : public graph::OpRules {
 public:
  /// Emits the gradient. The default throws: the operation is not differentiable.
  virtual void gradient(GradientScope& scope) const;
  virtual Cost cost(const Signature& signature) const;
  /// The readable reference: every operand in double, public layout. An absent input has null data,
  /// and so has an output that nobody reads.
  virtual void evaluate(const Signature& signature, std::span<const View<const double>> inputs,
                        std::span<const View<double>> outputs) const = 0;
  /// The native kernel, chosen by a rule on shapes and instruction set. Its operands are the node's
  /// inputs, then its outputs.
  virtual Lowering lower(const Signature& signature, Isa isa) const = 0;

  /// Operands (inputs, then outputs) that the kernel also serves stored as bf16, all of them together or
  /// none; see may_stay_f32().
  virtual std::vector<std::size_t> bf16_operands(const graph::Node& node) const;
  /// Whether one of them may be f32 while the others are bf16.
  virtual bool may_stay_f32(std::size_t operand) const;

  /// The input whose memory output i may take over when it is read here for the last time, in order
  /// of preference.
  virtual std::vector<std::size_t> in_place(const Attributes& attributes, std::size_t output) const;
  /// Whether the kernel leaves output i out when nobody reads it (its operand is then null).
  virtual bool optional_output(const Attributes& attributes, std::size_t output) const;
  /// Whether output i, summed over all axes but the channels, is zero by algebra.
  virtual bool sums_to_zero(const Attributes& attributes, std::size_t output) const;
  virtual FusionRole role() const { return FusionRole::none; }
  /// Whether a node with these attributes can carry a neighbour that plays `role`.
  virtual bool carries(const Attributes& attributes, FusionRole role) const;
  /// The input of which only matters where it is above zero; where its producer gives that as bits they take
  /// its place, and the node has the attribute `signs`.
  virtual std::optional<std::size_t> sign_input(const Attributes& attributes) const;
  /// Whether it can give, with the attribute `signs`, one more output: a bit for each element of output 0
  /// that is above zero, [signs_bytes(elements)] u8.
  virtual bool gives_signs(const Attributes& attributes) const;
  /// Whether it can carry, forward or back, a max pool with the attributes `pool` of a map of shape `x`.
  virtual bool carries_pool(const Attributes& attributes, const Attributes& pool, const Shape& x) const;
  /// Whether its native kernel can do that part of a batch norm beside it.
  virtual bool carries_part(const Signature& signature, NormPart part) const;
  /// The operation that computes this one's result, or the gradient of its weights, without the maps between
  /// it and a max pool with the attributes `pool_...` behind the batch norm that reads it; null if there is
  /// none.
  ///   result     inputs and the norm's gamma -> what the pool chooses, its index, moments
  ///   gradient   the inputs of the result, dz, index, z (optional: dz is gated by it), gradient table -> dw
  virtual const Operation* pooled(const Signature& signature, const Attributes& pool) const;
};

/// All operations, in the explicit list of registry.cpp.
std::span<const Operation* const> all();
/// The operation called `name`, or null.
const Operation* find(std::string_view name);
/// As find(), for names that our own code writes. Throws FormatError if there is none.
const Operation& get(std::string_view name);
/// find() as graph::from_json wants it.
const graph::OpRules* find_rules(std::string_view name);

/// The operation of a node.
inline const Operation& operation(const graph::Node& node) {
  return static_cast<const Operation&>(*node.op);
}

}  // namespace resnet::ops
