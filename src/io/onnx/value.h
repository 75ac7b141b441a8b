// Values of an ONNX graph while it is computed, and how their elements are walked.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "io/onnx/schema.h"

namespace resnet::io::onnx {

using Extents = std::vector<std::int64_t>;

/// Numbers of any type as doubles, which hold all that a preprocessing has: whole numbers to 2^53.
struct Value {
  int type = schema::TensorProto::DOUBLE;
  Extents shape;
  std::vector<double> numbers;  // as many as the shape says
};

/// Elements of a shape. Throws FormatError for more than 2^28, which take 2 GB.
std::int64_t count(const Extents& shape);

/// A number as its type holds it.
double as_type(int type, double x);

/// Throws FormatError if it has not as many bytes as its shape says.
Value constant(const schema::TensorProto& tensor);

/// Steps of an operand along the axes of a result, 0 where it is repeated.
Extents steps(const Extents& shape, const Extents& result);

/// Calls body(i, offsets of the operands) for each element of `shape`.
template <std::size_t kOperands, class Body>
void for_each(const Extents& shape, const std::array<Extents, kOperands>& steps_of, const Body& body) {
  const std::int64_t elements = count(shape);
  Extents at(shape.size(), 0);
  std::array<std::int64_t, kOperands> offsets{};
  for (std::int64_t i = 0; i < elements; ++i) {
    body(i, offsets);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      for (std::size_t k = 0; k < kOperands; ++k) offsets[k] += steps_of[k][axis];
      if (++at[axis] < shape[axis]) break;
      for (std::size_t k = 0; k < kOperands; ++k) offsets[k] -= steps_of[k][axis] * shape[axis];
      at[axis] = 0;
    }
  }
}

}  // namespace resnet::io::onnx
