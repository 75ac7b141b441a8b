// How a target answers by rules, one for each kind of operation. M is what the rules of a target may ask.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compiler/target.h"
#include "resnet/error.h"

namespace resnet::compiler {

using ops::Operation;
using ops::Signature;

/// The rules of one kind of operation, as Target has them.
template <class M>
class Rules {
 public:
  virtual ~Rules() = default;
  virtual std::string_view kind() const noexcept = 0;
  virtual bool serves(const Operation& operation, const Signature& s, const M& machine) const = 0;
  virtual Lowering lower(const Operation& operation, const Signature& s, const M& machine) const = 0;
  virtual Bf16Operands bf16_operands(const Operation& operation) const = 0;
  virtual std::vector<std::size_t> in_place(const Operation& operation, std::size_t output) const = 0;
  virtual bool optional_output(const Operation& operation, std::size_t output) const = 0;
};

/// The rules of operations of type O; what is not overridden is what most kernels do.
template <class O, class M>
class RulesOf : public Rules<M> {
 public:
  std::string_view kind() const noexcept final { return O::kName; }
  bool serves(const Operation& operation, const Signature& s, const M& machine) const final {
    return serves_this(as(operation), s, machine);
  }
  Lowering lower(const Operation& operation, const Signature& s, const M& machine) const final {
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
  virtual bool serves_this(const O&, const Signature&, const M&) const { return true; }
  virtual Lowering lower_this(const O& operation, const Signature& s, const M& machine) const = 0;
  virtual Bf16Operands bf16_of(const O&) const { return {}; }
  virtual std::vector<std::size_t> in_place_of(const O&, std::size_t) const { return {}; }
  virtual bool optional_output_of(const O&, std::size_t) const { return false; }

 private:
  static const O& as(const Operation& operation) { return static_cast<const O&>(operation); }
};

template <class M>
using RulesList = std::span<const Rules<M>* const>;

/// The rules of a target by the name of their operation.
template <class M>
class RuleBook {
 public:
  /// `owner`: of the kernels, as "the CPU".
  RuleBook(std::string owner, std::initializer_list<RulesList<M>> lists) : owner_(std::move(owner)) {
    for (const RulesList<M>& list : lists) {
      for (const Rules<M>* of_one : list) rules_.emplace(of_one->kind(), of_one);
    }
  }
  bool knows(std::string_view kind) const { return rules_.contains(kind); }
  /// Throws ConfigError where there are none.
  const Rules<M>& of(const Operation& operation) const {
    const auto found = rules_.find(operation.name());
    if (found == rules_.end())
      throw ConfigError(owner_ + " has no kernel for operation '" + std::string(operation.name()) + "'");
    return *found->second;
  }

 private:
  std::string owner_;
  std::unordered_map<std::string_view, const Rules<M>*> rules_;
};

/// A target that answers by the rules of a book.
template <class M>
class RuledTarget : public Target {
 public:
  bool serves(const Operation& operation, const Signature& s) const final {
    return rules().of(operation).serves(operation, s, machine());
  }
  Lowering lower(const graph::Node& node, const Signature& s) const final {
    const Operation& operation = ops::operation(node);
    return rules().of(operation).lower(operation, s, machine());
  }
  Bf16Operands bf16_operands(const Operation& operation) const final {
    return rules().of(operation).bf16_operands(operation);
  }
  std::vector<std::size_t> in_place(const Operation& operation, std::size_t output) const final {
    return rules().of(operation).in_place(operation, output);
  }
  bool optional_output(const Operation& operation, std::size_t output) const final {
    return rules().of(operation).optional_output(operation, output);
  }

 private:
  virtual const RuleBook<M>& rules() const = 0;
  virtual M machine() const = 0;
};

}  // namespace resnet::compiler
