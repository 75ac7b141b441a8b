// How the CPU computes one kind of operation.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/machine.h"
#include "compiler/target.h"
#include "cpu/conv_choices.h"

namespace resnet::cpu {

using compiler::Bf16Operands;
using compiler::Lowering;
using ops::Operation;
using ops::Signature;

/// What the rules may ask.
struct Machine {
  Isa isa;
  ConvChoices& choices;
};

/// The rules of one kind of operation, as compiler::Target has them.
class Rules {
 public:
  virtual ~Rules() = default;
  virtual std::string_view kind() const noexcept = 0;
  virtual bool serves(const Operation& operation, const Signature& s, const Machine& machine) const = 0;
  virtual Lowering lower(const Operation& operation, const Signature& s, const Machine& machine) const = 0;
  virtual Bf16Operands bf16_operands(const Operation& operation) const = 0;
  virtual std::vector<std::size_t> in_place(const Operation& operation, std::size_t output) const = 0;
  virtual bool optional_output(const Operation& operation, std::size_t output) const = 0;
};

/// The rules of operations of type O; what is not overridden is what most kernels do.
template <class O>
class RulesOf : public Rules {
 public:
  std::string_view kind() const noexcept final { return O::kName; }
  bool serves(const Operation& operation, const Signature& s, const Machine& machine) const final {
    return serves_this(as(operation), s, machine);
  }
  Lowering lower(const Operation& operation, const Signature& s, const Machine& machine) const final {
    return lower_this(as(operation), s, machine);
  }
  Bf16Operands bf16_operands(const Operation& operation) const final { return bf16_of(as(operation)); }
  std::vector<std::size_t> in_place(const Operation& operation, std::size_t output) const final {
    return in_place_of(as(operation), output);
  }
  bool optional_output(const Operation& operation, std::size_t output) const final {
    return optional_output_of(as(operation), output);
  }

 protected:
  virtual bool serves_this(const O&, const Signature&, const Machine&) const { return true; }
  virtual Lowering lower_this(const O& operation, const Signature& s, const Machine& machine) const = 0;
  virtual Bf16Operands bf16_of(const O&) const { return {}; }
  virtual std::vector<std::size_t> in_place_of(const O&, std::size_t) const { return {}; }
  virtual bool optional_output_of(const O&, std::size_t) const { return false; }

 private:
  static const O& as(const Operation& operation) { return static_cast<const O&>(operation); }
};

using RulesList = std::span<const Rules* const>;

/// One list a file; target.cpp has them all.
RulesList conv_rules();
RulesList norm_rules();
RulesList pool_rules();
RulesList elementwise_rules();
RulesList product_rules();
RulesList loss_rules();
RulesList optimizer_rules();

}  // namespace resnet::cpu
