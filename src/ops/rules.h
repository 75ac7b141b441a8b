// What the shape rules of the operations share.
#pragma once

#include <initializer_list>
#include <string>

#include "ops/operation.h"

namespace resnet::ops {

/// Pixels, {height, width}.
struct Pair {
  std::int64_t h = 0, w = 0;
};

/// Throws ShapeError with `what` unless `fits`.
inline void expect(bool fits, const std::string& what) {
  if (!fits) throw ShapeError(what);
}

/// Checks that these inputs are there, in f32.
void expect_f32(std::span<const ValueType* const> inputs, std::initializer_list<std::size_t> slots);

/// Checks that an input that only fused operations have is there, in f32, where they ask for it, and not
/// elsewhere; gives whether it is.
inline bool expect_if(bool wanted, std::span<const ValueType* const> inputs, std::size_t slot) {
  if (wanted) expect_f32(inputs, {slot});
  expect(wanted || inputs[slot] == nullptr, "operand " + std::to_string(slot) + " has no use");
  return wanted;
}

/// Checks the rank of an input.
inline const Shape& expect_rank(std::span<const ValueType* const> inputs, std::size_t slot, int rank) {
  const Shape& shape = inputs[slot]->shape;
  expect(shape.rank() == rank,
         "expected an operand of " + std::to_string(rank) + " axes, got " + to_string(shape));
  return shape;
}

/// Checks an option of two numbers, each at least `least`.
void expect_pair(Pair pair, const std::string& name, std::int64_t least);

/// A pair in the text form, both ways.
Pair read_pair(graph::AttributeReader& reader, const std::string& name);
std::vector<std::int64_t> to_list(Pair pair);

/// Some numbers for each channel, as norms and their neighbours pass them on.
inline ValueType rows_of_channels(std::int64_t rows, std::int64_t channels) {
  return {Shape{rows, channels}, DType::f32};
}

/// Pixels of an [N,C,H,W] or [N,C] shape.
inline std::int64_t pixels_of(const Shape& shape) {
  return shape.rank() == 4 ? shape[2] * shape[3] : 1;
}

/// The type of a result that has the shape of its operands, which are all f32 and of one shape.
inline std::vector<std::optional<ValueType>> infer_elementwise(std::span<const ValueType* const> inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    expect_f32(inputs, {i});
    expect(inputs[i]->shape == inputs[0]->shape, "expected operands of one shape");
  }
  return {*inputs[0]};
}

inline double elements_of(const Signature& s) {
  return static_cast<double>(s.inputs[0]->shape.elements());
}

}  // namespace resnet::ops
