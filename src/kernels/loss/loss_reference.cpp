// Softmax cross-entropy in double.
// Source: Goodfellow et al., Deep Learning, section 6.2.2.3.
#include <cmath>

#include "kernels/loss/loss.h"
#include "kernels/loss/softmax.h"

namespace resnet::kernels {
void reference_cross_entropy(View<const double> logits, View<const double> labels, View<double> loss_sum,
                             View<double> correct) {
  const std::int64_t classes = logits.shape[1];
  double loss = 0;
  double hits = 0;
  for (std::int64_t row = 0; row < logits.shape[0]; ++row) {
    const double* logit = logits.data + row * classes;
    const Softmax s = softmax_of(logit, classes);
    const auto label = static_cast<std::int64_t>(labels[row]);
    loss += std::log(s.exp_sum) - (logit[label] - s.largest);
    hits += s.argmax == label ? 1.0 : 0.0;
  }
  if (loss_sum.data != nullptr) loss_sum[0] = loss;
  if (correct.data != nullptr) correct[0] = hits;
}

void reference_cross_entropy_gradient(View<const double> logits, View<const double> labels,
                                      View<double> dlogits) {
  const std::int64_t classes = logits.shape[1];
  const auto rows = static_cast<double>(logits.shape[0]);
  for (std::int64_t row = 0; row < logits.shape[0]; ++row) {
    const double* logit = logits.data + row * classes;
    const Softmax s = softmax_of(logit, classes);
    const auto label = static_cast<std::int64_t>(labels[row]);
    for (std::int64_t k = 0; k < classes; ++k) {
      const double probability = std::exp(logit[k] - s.largest) / s.exp_sum;
      dlogits[row * classes + k] = (probability - (k == label ? 1.0 : 0.0)) / rows;
    }
  }
}

}  // namespace resnet::kernels
