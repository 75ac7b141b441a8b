// What the compiler asks of a machine. The passes know operations and no machine; a Target knows the kernels
// of one: which computes an operation, what it can fuse, what is stored as what.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel.h"
#include "ops/operation.h"

namespace resnet::compiler {

/// The kernel chosen for a node, and why: for the printed plan.
struct Lowering {
  std::unique_ptr<kernels::PlannedKernel> kernel;
  std::string reason;
};

/// The operands, by slot, that an operation's kernel also serves stored as bf16: all of them together or
/// none.
struct Bf16Operands {
  std::vector<std::size_t> inputs = {}, outputs = {};
  std::vector<std::size_t> or_f32 = {};  // of the inputs: those that may be f32 while the others are bf16
};

class Target {
 public:
  virtual ~Target() = default;

  /// What it compiles for, in the printed plan: "avx2", ...
  virtual std::string_view name() const = 0;
  /// Throws ConfigError unless activations can be stored so.
  virtual void check(DType activations) const = 0;
  /// Bytes, a power of two: every buffer of work and of what is prepared begins at a multiple; state at one of 64.
  virtual std::int64_t alignment() const { return 64; }

  /// Whether its kernel can compute the operation with the neighbours that are fused in it. Of the operands
  /// only those of the operation by itself have types.
  virtual bool serves(const ops::Operation& operation, const ops::Signature& signature) const = 0;
  /// The node's kernel, chosen by a rule on shapes, storage types and the target alone. Its operands are the
  /// inputs that the operation lists, the others that are there, and the outputs that are there, in the order
  /// of the slots.
  virtual Lowering lower(const graph::Node& node, const ops::Signature& signature) const = 0;
  virtual Bf16Operands bf16_operands(const ops::Operation& operation) const;
  /// The inputs whose memory an output may take over when they are read here for the last time, in order of
  /// preference.
  virtual std::vector<std::size_t> in_place(const ops::Operation& operation, std::size_t output) const;
  /// Whether the kernel leaves an output out when nobody reads it (its operand is then null).
  virtual bool optional_output(const ops::Operation& operation, std::size_t output) const;
};

}  // namespace resnet::compiler
