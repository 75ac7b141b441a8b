// What the updates of parameters share: their first inputs, and their shape rule.
#pragma once

#include "kernels/optimizer/optimizer.h"
#include "ops/rules.h"

namespace resnet::ops {

/// The first inputs of every update; its slots follow. Output 0 is the updated parameter, the updated slots
/// follow in the order of the inputs.
struct UpdateInput {
  enum : std::size_t {
    parameter,
    gradient,  // absent where it is zero by algebra
    step,      // what changes from step to step: f32, as kernels::StepValue has it
    slots
  };
};

/// The input whose memory an output takes over.
constexpr std::size_t updated_input(std::size_t output) {
  return output == 0 ? std::size_t{UpdateInput::parameter} : UpdateInput::slots + output - 1;
}

/// The types of the updated parameter and of `slots` slots.
inline std::vector<std::optional<ValueType>> infer_update(std::span<const ValueType* const> inputs,
                                                          std::size_t slots) {
  expect_f32(inputs, {UpdateInput::parameter, UpdateInput::step});
  const ValueType& parameter = *inputs[UpdateInput::parameter];
  const ValueType* gradient = inputs[UpdateInput::gradient];
  expect(gradient == nullptr || *gradient == parameter, "expected a gradient of the parameter's shape");
  expect(inputs[UpdateInput::step]->shape == Shape{kernels::StepValue::read(slots > 0)},
         "expected the step's values");
  std::vector<std::optional<ValueType>> types = {parameter};
  for (std::size_t i = 0; i < slots; ++i) {
    const ValueType* slot = inputs[UpdateInput::slots + i];
    expect(slot != nullptr && *slot == parameter, "expected slots of the parameter's shape");
    types.emplace_back(parameter);
  }
  return types;
}

}  // namespace resnet::ops
