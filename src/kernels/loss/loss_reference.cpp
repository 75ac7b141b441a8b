// Softmax cross-entropy in double.
// Source: Goodfellow et al., Deep Learning, section 6.2.2.3.
#include <cmath>

#include "kernels/loss/loss.h"
#include "kernels/loss/softmax.h"

namespace resnet::kernels {
namespace {

// The targets of an example: a label, or two with their shares.
struct Target {
  std::int64_t label, mixed;
  double share;  // of the label; the mixed one has the rest
};

Target target_of(const LossTargets& targets, std::int64_t row) {
  const auto label = static_cast<std::int64_t>(targets.labels[row]);
  if (targets.mixed_labels.data == nullptr) return {label, label, 1};
  return {label, static_cast<std::int64_t>(targets.mixed_labels[row]), targets.mix[row]};
}

double weight_of(const Target& target, const CrossEntropyOptions& options) {
  return target.share * options.weight(target.label) + (1 - target.share) * options.weight(target.mixed);
}

double sum_of_weights(const LossTargets& targets, const CrossEntropyOptions& options) {
  double sum = 0;
  for (std::int64_t row = 0; row < targets.labels.shape[0]; ++row)
    sum += weight_of(target_of(targets, row), options);
  return sum;
}

}  // namespace

void reference_cross_entropy(View<const double> logits, const LossTargets& targets, View<double> loss_sum,
                             View<double> correct, const CrossEntropyOptions& options) {
  const std::int64_t rows = logits.shape[0], classes = logits.shape[1];
  const double smoothing = options.label_smoothing;
  double loss = 0;
  double hits = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const double* logit = logits.data + row * classes;
    const Softmax s = softmax_of(logit, classes);
    const Target target = target_of(targets, row);
    // -log p[k]
    const auto nats = [&](std::int64_t k) { return std::log(s.exp_sum) - (logit[k] - s.largest); };
    const auto of_label = [&](std::int64_t k) { return options.weight(k) * nats(k); };
    double of_target = of_label(target.label);
    if (target.share != 1) {  // where it is 1, the other's loss may be infinite
      of_target = target.share == 0 ? of_label(target.mixed)
                                    : target.share * of_target + (1 - target.share) * of_label(target.mixed);
    }
    if (smoothing > 0) {
      double all = 0;
      for (std::int64_t k = 0; k < classes; ++k) all += of_label(k);
      of_target = (1 - smoothing) * of_target + smoothing / static_cast<double>(classes) * all;
    }
    loss += of_target;
    hits += s.argmax == (target.share >= 0.5 ? target.label : target.mixed) ? 1.0 : 0.0;
  }
  if (!options.class_weights.empty()) loss *= static_cast<double>(rows) / sum_of_weights(targets, options);
  if (loss_sum.data != nullptr) loss_sum[0] = loss;
  if (correct.data != nullptr) correct[0] = hits;
}

void reference_cross_entropy_gradient(View<const double> logits, const LossTargets& targets,
                                      View<double> dlogits, const CrossEntropyOptions& options) {
  const std::int64_t rows = logits.shape[0], classes = logits.shape[1];
  const double smoothing = options.label_smoothing, uniform = smoothing / static_cast<double>(classes);
  const double weights =
      options.class_weights.empty() ? static_cast<double>(rows) : sum_of_weights(targets, options);
  double all = 0;
  for (std::int64_t k = 0; k < classes; ++k) all += options.weight(k);
  for (std::int64_t row = 0; row < rows; ++row) {
    const double* logit = logits.data + row * classes;
    const Softmax s = softmax_of(logit, classes);
    const Target target = target_of(targets, row);
    // The loss is the sum over k of share[k] * -log p[k]: its gradient p[j] * (all shares) - share[j].
    const double total = (1 - smoothing) * weight_of(target, options) + uniform * all;
    for (std::int64_t k = 0; k < classes; ++k) {
      const double probability = std::exp(logit[k] - s.largest) / s.exp_sum;
      double share = uniform * options.weight(k);
      if (k == target.label) share += (1 - smoothing) * target.share * options.weight(k);
      if (k == target.mixed) share += (1 - smoothing) * (1 - target.share) * options.weight(k);
      dlogits[row * classes + k] = (probability * total - share) / weights;
    }
  }
}

}  // namespace resnet::kernels
