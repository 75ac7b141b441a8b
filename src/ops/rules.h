// What the shape rules of the operations share.
#pragma once

#include <algorithm>
#include <string>

#include "ops/operation.h"

namespace resnet::ops {

/// Throws ShapeError with `what` unless `fits`.
inline void expect(bool fits, const std::string& what) {
  if (!fits) throw ShapeError(what);
}

/// Checks the number of operands, that the first `required` of them are there, and that the first
/// `floats` of them are f32 (all of them, unless said).
inline void expect_operands(std::span<const ValueType* const> inputs, std::size_t required, std::size_t most,
                            std::size_t floats = 99) {
  expect(inputs.size() >= required && inputs.size() <= most,
         "expected " + std::to_string(required) + " operands, got " + std::to_string(inputs.size()));
  for (std::size_t i = 0; i < required; ++i)
    expect(inputs[i] != nullptr, "operand " + std::to_string(i) + " is absent");
  for (std::size_t i = 0; i < std::min(floats, inputs.size()); ++i) {
    expect(inputs[i] == nullptr || inputs[i]->dtype == DType::f32,
           "expected operand " + std::to_string(i) + " in f32");
  }
}

/// Checks operand `i`: its rank.
inline const Shape& expect_rank(std::span<const ValueType* const> inputs, std::size_t i, int rank) {
  const Shape& shape = inputs[i]->shape;
  expect(shape.rank() == rank,
         "expected an operand of " + std::to_string(rank) + " axes, got " + to_string(shape));
  return shape;
}

/// A list attribute of exactly two numbers {height, width}, each at least `least`.
struct Pair {
  std::int64_t h = 0, w = 0;
};
Pair pair_of(const Attributes& attributes, const std::string& name, std::int64_t least);

/// Some numbers for each channel, as norms and their neighbours pass them on.
inline ValueType rows_of_channels(std::int64_t rows, std::int64_t channels) {
  return {Shape{rows, channels}, DType::f32};
}

/// Pixels of an [N,C,H,W] or [N,C] shape.
inline std::int64_t pixels_of(const Shape& shape) {
  return shape.rank() == 4 ? shape[2] * shape[3] : 1;
}

}  // namespace resnet::ops
