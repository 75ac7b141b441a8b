// What a training step minimises: softmax cross-entropy, its options and its targets.
#pragma once

#include <concepts>
#include <cstdint>
#include <vector>

#include "resnet/tensor.h"

namespace resnet {

/// Of an example with the label y, with p = softmax(logits) over K classes, s = label_smoothing and
/// w = class_weights:
///   l(y) = (1 - s) * w[y] * -log p[y] + s / K * sum over k of w[k] * -log p[k]
/// The loss of a batch is sum of l(y) / sum of w[y], which is the mean where all weights are equal.
/// Source: torch.nn.CrossEntropyLoss(weight, label_smoothing); Szegedy et al., arXiv 1512.00567, section 7.
struct LossOptions {
  double label_smoothing = 0;              // in [0, 1]
  std::vector<double> class_weights = {};  // one a class of the network, finite, at least 0; empty: 1 each
};

/// Throws ConfigError for options that cannot be.
void check(const LossOptions& options);

/// What an example is to be taken for: its label, or where examples are mixed (mixup, CutMix) two of them. An
/// example then counts mix * l(y) + (1 - mix) * l(mixed y), and in the sum of weights likewise. Labels alone
/// convert to it.
struct Targets {
  View<const std::int32_t> labels;             // [N]
  View<const std::int32_t> mixed_labels = {};  // [N], or no data
  View<const float> mix = {};  // [N], the weight of the first label, in [0, 1]; as mixed_labels

  Targets() = default;
  template <std::convertible_to<View<const std::int32_t>> Labels>
  Targets(const Labels& given) : labels(given) {}  // NOLINT(google-explicit-constructor)
  Targets(View<const std::int32_t> first, View<const std::int32_t> second, View<const float> weight)
      : labels(first), mixed_labels(second), mix(weight) {}
  bool mixed() const noexcept { return mixed_labels.data != nullptr; }
};

}  // namespace resnet
