// How a GPU computes each kind of operation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "compiler/rules.h"
#include "gpu/kernel.h"
#include "gpu/target.h"
#include "kernels/pool/pool.h"
#include "plan/plan.h"
#include "resnet/tensor.h"

namespace resnet::gpu {

using compiler::Bf16Operands;
using compiler::Lowering;
using device::KernelId;
using ops::Operation;
using ops::Signature;

using Rules = compiler::Rules<Machine>;
template <class O>
using RulesOf = compiler::RulesOf<O, Machine>;
using RulesList = compiler::RulesList<Machine>;

/// Where the operands of a call stand (Recorder::operand), by their slots; nowhere if they are absent.
class Places {
 public:
  Places(const Operation& operation, const Signature& s) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < s.inputs.size(); ++i)
      inputs_.push_back(i < operation.listed_inputs() || s.inputs[i] != nullptr ? next++ : kNowhere);
    for (const ops::ValueType& output : s.outputs)
      outputs_.push_back(output.shape.rank() > 0 ? next++ : kNowhere);
  }
  std::size_t input(std::size_t slot) const { return slot < inputs_.size() ? inputs_[slot] : kNowhere; }
  std::size_t output(std::size_t slot) const { return slot < outputs_.size() ? outputs_[slot] : kNowhere; }

 private:
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();
  std::vector<std::size_t> inputs_, outputs_;
};

/// One list a file; target.cpp has them all.
RulesList conv_rules();
RulesList stem_rules();
RulesList norm_rules();
RulesList pool_rules();
RulesList elementwise_rules();
RulesList loss_rules();
RulesList optimizer_rules();

/// As kernels count pixels and weights. Throws BeyondKernels where that is too few bits.
inline std::int32_t narrow(std::int64_t value) {
  if (value > std::numeric_limits<std::int32_t>::max() / 2)
    throw BeyondKernels("a convolution has too many pixels or weights for the GPU's kernels",
                        "use a smaller batch or smaller images");
  return static_cast<std::int32_t>(value);
}

/// Throws BeyondKernels where the pools' kernels cannot count the elements.
device::PoolArgs pool_args(const kernels::PoolGeometry& g);

/// Elements that a thread of a sweep takes at a time.
inline constexpr std::int64_t kEight = 8;

/// A kernel of this storage, given that of f32, whose neighbour it is.
constexpr KernelId kernel_of(KernelId f32, DType storage) {
  return static_cast<KernelId>(static_cast<std::uint32_t>(f32) + (storage == DType::bf16 ? 1U : 0U));
}

inline std::int64_t divided(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// Most blocks of a sweep, each of which goes on at so many more: eight for each of 132 multiprocessors. A
/// constant, so that a plan does not depend on the card.
inline constexpr std::int64_t kSweepBlocks = 8 * 132;

/// Blocks of a sweep whose threads take `each` elements at a time.
inline std::int64_t sweep_blocks(std::int64_t elements, std::int64_t each = 1) {
  return std::clamp(divided(elements, each * device::kThreads), std::int64_t{1}, kSweepBlocks);
}

/// Elements of 16 bytes.
inline std::int64_t pack_of(DType storage) {
  return 16 / static_cast<std::int64_t>(size_of(storage));
}

inline Lowering lowered(Kernel::Parts parts, std::string reason) {
  return {std::make_unique<Kernel>(std::move(parts)), std::move(reason)};
}

/// A kernel of one launch, named as in kernels.def.
template <class Fill>
Lowering one_launch(KernelId kernel, std::int64_t blocks, const Fill& fill) {
  return lowered({.name = std::string(device::facts_of(kernel).name),
                  .record = [=](Recorder& r) { r.launch(kernel, blocks, fill(r)); }},
                 "one sweep, " + counted(blocks, "block", "blocks"));
}

}  // namespace resnet::gpu
