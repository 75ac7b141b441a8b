// The CPU as a target: which kernel computes an operation, what it can fuse, what is stored as what.
#pragma once

#include <memory>

#include "base/machine.h"
#include "compiler/rules.h"

namespace resnet::cpu {

class ConvChoices;

/// What the rules may ask.
struct Machine {
  Isa isa;
  ConvChoices& choices;
};

/// A CPU of one instruction set.
class Target final : public compiler::RuledTarget<Machine> {
 public:
  explicit Target(Isa isa);
  ~Target() override;

  /// Whether it has a kernel for operations of this kind.
  static bool knows(std::string_view kind);

  std::string_view name() const override;
  void check(DType activations) const override;

 private:
  const compiler::RuleBook<Machine>& rules() const override;
  Machine machine() const override;

  Isa isa_;
  std::unique_ptr<ConvChoices> choices_;
};

}  // namespace resnet::cpu
