// Softmax of one row of logits, in double: what references and evaluation share.
#pragma once

#include <cmath>
#include <cstdint>

namespace resnet::kernels {

struct Softmax {
  double largest = 0;
  double exp_sum = 0;       // of exp(logit - largest)
  std::int64_t argmax = 0;  // the first largest; a NaN counts as largest, as in PyTorch
};

template <class T>
Softmax softmax_of(const T* logits, std::int64_t classes) {
  Softmax s{.largest = static_cast<double>(logits[0])};
  for (std::int64_t k = 1; k < classes; ++k) {
    const auto logit = static_cast<double>(logits[k]);
    if (logit > s.largest || (std::isnan(logit) && !std::isnan(s.largest))) {
      s.largest = logit;
      s.argmax = k;
    }
  }
  for (std::int64_t k = 0; k < classes; ++k)
    s.exp_sum += std::exp(static_cast<double>(logits[k]) - s.largest);
  return s;
}

}  // namespace resnet::kernels
