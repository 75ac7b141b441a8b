#include "io/onnx/value.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "resnet/error.h"

namespace resnet::io::onnx {
namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 28U;  // of a value, 2 GB

template <class T>
void append(const std::string& raw, std::vector<double>& to) {
  for (std::size_t at = 0; at + sizeof(T) <= raw.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, raw.data() + at, sizeof(T));
    to.push_back(static_cast<double>(value));
  }
}

}  // namespace

std::int64_t count(const Extents& shape) {
  std::int64_t result = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(result, extent, &result) || result > kMostElements)
      throw FormatError("its preprocessing makes a value that is too large");
  }
  return result;
}

double as_type(int type, double x) {
  switch (type) {
    case schema::TensorProto::FLOAT:
      return double{static_cast<float>(x)};
    case schema::TensorProto::DOUBLE:
      return x;
    case schema::TensorProto::UINT8:
      return std::clamp(std::trunc(x), 0.0, 255.0);
    default:
      return std::trunc(x);
  }
}

Value constant(const schema::TensorProto& tensor) {
  Value value{tensor.data_type(), {tensor.dims().begin(), tensor.dims().end()}, {}};
  switch (tensor.data_type()) {
    case schema::TensorProto::FLOAT:
      append<float>(tensor.raw_data(), value.numbers);
      break;
    case schema::TensorProto::DOUBLE:
      append<double>(tensor.raw_data(), value.numbers);
      break;
    case schema::TensorProto::INT32:
      append<std::int32_t>(tensor.raw_data(), value.numbers);
      break;
    case schema::TensorProto::INT64:
      append<std::int64_t>(tensor.raw_data(), value.numbers);
      break;
    default:
      append<std::uint8_t>(tensor.raw_data(), value.numbers);
  }
  if (static_cast<std::int64_t>(value.numbers.size()) != count(value.shape))
    throw FormatError("a constant of its preprocessing has other bytes than its shape takes");
  return value;
}

Extents steps(const Extents& shape, const Extents& result) {
  Extents to(result.size(), 0);
  std::int64_t step = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t axis = shape.size() - 1 - i;
    if (shape[axis] != 1) to[result.size() - 1 - i] = step;
    step *= shape[axis];
  }
  return to;
}

}  // namespace resnet::io::onnx
