// Initialisation. Every number is a function of (seed, parameter's name, index).
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/memory.h"
#include "base/random.h"
#include "resnet/nn.h"

namespace resnet::nn {
namespace {

void fill_uniform(Parameter& parameter, const RandomStream& stream, double bound) {
  const auto values = parameter.value.values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(bound * (2.0 * static_cast<double>(stream.word(i)) * 0x1p-32 - 1.0));
  }
}

// Outputs that one input reaches, over the kernel's pixels.
std::int64_t fan_out(const Shape& weight) {
  return weight.rank() == 4 ? weight[0] * weight[2] * weight[3] : weight[0];
}

void fill_normal(Parameter& parameter, const RandomStream& stream, double deviation) {
  if (deviation == 0) return;  // zero already, and not -0
  const auto values = parameter.value.values();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(deviation * stream.normal(i));
}

void fill_weight(Parameter& parameter, const RandomStream& stream, Scheme scheme) {
  const bool convolution = parameter.shape.rank() == 4;
  if (parameter.deviation) {
    fill_normal(parameter, stream, *parameter.deviation);
    return;
  }
  if (scheme == Scheme::chapter) {  // Glorot and Bengio 2010, gain 1
    fill_uniform(parameter, stream,
                 std::sqrt(6.0 / static_cast<double>(parameter.fan_in + fan_out(parameter.shape))));
  } else if (convolution) {  // He et al., arXiv 1502.01852, fan-out
    fill_normal(parameter, stream, std::sqrt(2.0 / static_cast<double>(fan_out(parameter.shape))));
  } else {
    fill_uniform(parameter, stream, 1.0 / std::sqrt(static_cast<double>(parameter.fan_in)));
  }
}

DType type_of(const Parameter& parameter) {
  return parameter.kind == ParameterKind::batches_tracked ? DType::i64 : DType::f32;
}

// Whether its value can be written over.
bool has_room(const Parameter& parameter) {
  return parameter.value.shape() == parameter.shape && parameter.value.dtype() == type_of(parameter);
}

void initialise(const std::string& name, Parameter& parameter, Scheme scheme, std::uint64_t seed) {
  const RandomStream stream(seed, "init/" + name);
  if (has_room(parameter)) {
    std::fill_n(parameter.value.raw(), parameter.value.bytes(), std::byte{0});
  } else {
    parameter.value = Tensor(parameter.shape, type_of(parameter));
  }
  if (parameter.kind == ParameterKind::batches_tracked) {
    parameter.set = true;
    return;
  }
  const auto values = parameter.value.values();
  switch (parameter.kind) {
    case ParameterKind::weight:
      fill_weight(parameter, stream, scheme);
      break;
    case ParameterKind::bias:
      if (parameter.deviation) {
        fill_normal(parameter, stream, *parameter.deviation);
      } else {
        fill_uniform(parameter, stream, 1.0 / std::sqrt(static_cast<double>(parameter.fan_in)));
      }
      break;
    case ParameterKind::norm_weight:
    case ParameterKind::running_var:
      std::fill(values.begin(), values.end(), 1.0F);
      break;
    case ParameterKind::norm_bias:
    case ParameterKind::running_mean:
    case ParameterKind::batches_tracked:
      break;  // zero already
  }
  parameter.set = true;
}

}  // namespace

namespace {

void initialise_all(Module& module, Scheme scheme, std::uint64_t seed, bool unset_alone) {
  std::int64_t bytes = 0;
  for_each_parameter(std::as_const(module), [&](const std::string&, const Parameter& parameter) {
    const bool wanted = !parameter.set || !unset_alone;
    if (wanted && !has_room(parameter)) bytes += parameter.shape.elements() * std::int64_t{sizeof(float)};
  });
  if (bytes > kSmallMemory)
    require_memory(bytes, 0, "the values of a network", "a smaller network needs less");
  for_each_parameter(module, [&](const std::string& name, Parameter& parameter) {
    if (!parameter.set || !unset_alone) initialise(name, parameter, scheme, seed);
  });
}

}  // namespace

void init(Module& module, Scheme scheme, std::uint64_t seed) {
  initialise_all(module, scheme, seed, false);
}

void init_unset(Module& module, Scheme scheme, std::uint64_t seed) {
  initialise_all(module, scheme, seed, true);
}

}  // namespace resnet::nn
