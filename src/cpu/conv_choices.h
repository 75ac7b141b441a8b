// Which algorithm computes each convolution of a plan: asked once, then kept.
#pragma once

#include <map>
#include <tuple>

#include "kernels/conv/conv.h"

namespace resnet::cpu {

class ConvChoices {
 public:
  const kernels::ConvChoice& of(const kernels::ConvGeometry& g, kernels::ConvPass pass,
                                kernels::ConvStorage storage);

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, kernels::ConvPass, DType, DType>;
  std::map<Key, kernels::ConvChoice> choices_;
};

}  // namespace resnet::cpu
