// Softmax of one row of logits, in double: what references and evaluation share.
#pragma once

#include <cmath>
#include <cstdint>

namespace resnet::kernels {

struct Softmax {
  double largest = 0;
  double exp_sum = 0;       // of exp(logit - largest)
  std::int64_t argmax = 0;  // argmax_of()
};

/// The first largest; a NaN counts as largest, as in PyTorch.
template <class T>
std::int64_t argmax_of(const T* logits, std::int64_t classes) {
  std::int64_t best = 0;
  for (std::int64_t k = 1; k < classes; ++k) {
    if (logits[k] > logits[best] || (std::isnan(logits[k]) && !std::isnan(logits[best]))) best = k;
  }
  return best;
}

template <class T>
Softmax softmax_of(const T* logits, std::int64_t classes) {
  Softmax s{.argmax = argmax_of(logits, classes)};
  s.largest = static_cast<double>(logits[s.argmax]);
  for (std::int64_t k = 0; k < classes; ++k)
    s.exp_sum += std::exp(static_cast<double>(logits[k]) - s.largest);
  return s;
}

}  // namespace resnet::kernels
