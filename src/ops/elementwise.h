// Shape rule of operations whose operands and result have one shape.
#pragma once

#include "ops/rules.h"

namespace resnet::ops {

inline std::vector<ValueType> infer_elementwise(std::span<const ValueType* const> inputs,
                                                std::size_t operands) {
  expect_operands(inputs, operands, operands);
  for (std::size_t i = 1; i < operands; ++i) {
    expect(inputs[i]->shape == inputs[0]->shape, "expected operands of one shape");
  }
  return {*inputs[0]};
}

inline double elements_of(const Signature& s) {
  return static_cast<double>(s.inputs[0]->shape.elements());
}

}  // namespace resnet::ops
