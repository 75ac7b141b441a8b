// How the CPU computes each kind of operation.
#pragma once

#include "compiler/rules.h"
#include "cpu/conv_choices.h"
#include "cpu/target.h"

namespace resnet::cpu {

using compiler::Bf16Operands;
using compiler::Lowering;
using ops::Operation;
using ops::Signature;

using Rules = compiler::Rules<Machine>;
template <class O>
using RulesOf = compiler::RulesOf<O, Machine>;
using RulesList = compiler::RulesList<Machine>;

/// One list a file; target.cpp has them all.
RulesList conv_rules();
RulesList norm_rules();
RulesList pool_rules();
RulesList elementwise_rules();
RulesList product_rules();
RulesList loss_rules();
RulesList optimizer_rules();

}  // namespace resnet::cpu
