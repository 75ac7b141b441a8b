// The CPU as a target: which kernel computes an operation, what it can fuse, what is stored as what.
#pragma once

#include <memory>

#include "base/machine.h"
#include "compiler/target.h"

namespace resnet::cpu {

class ConvChoices;

/// A CPU of one instruction set.
class Target final : public compiler::Target {
 public:
  explicit Target(Isa isa);
  ~Target() override;

  /// Whether it has a kernel for operations of this kind.
  static bool knows(std::string_view kind);

  std::string_view name() const override;
  void check(DType activations) const override;
  bool serves(const ops::Operation& operation, const ops::Signature& signature) const override;
  compiler::Lowering lower(const graph::Node& node, const ops::Signature& signature) const override;
  compiler::Bf16Operands bf16_operands(const ops::Operation& operation) const override;
  std::vector<std::size_t> in_place(const ops::Operation& operation, std::size_t output) const override;
  bool optional_output(const ops::Operation& operation, std::size_t output) const override;

 private:
  Isa isa_;
  std::unique_ptr<ConvChoices> choices_;
};

}  // namespace resnet::cpu
