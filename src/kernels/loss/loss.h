// Softmax cross-entropy over [n][classes].
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// resnet/loss.h has the formula.
struct CrossEntropyOptions {
  double label_smoothing = 0;
  std::vector<double> class_weights = {};  // one a class, or none

  bool plain() const noexcept { return label_smoothing == 0 && class_weights.empty(); }
  double weight(std::int64_t k) const noexcept {
    return class_weights.empty() ? 1.0 : class_weights[static_cast<std::size_t>(k)];
  }
};

/// Targets of the references, all [N]; without mixed labels neither of the last two has data.
struct LossTargets {
  View<const double> labels, mixed_labels, mix;
  LossTargets(View<const double> first,
              View<const double> second = {},  // NOLINT(google-explicit-constructor)
              View<const double> weight = {})
      : labels(first), mixed_labels(second), mix(weight) {}
};

/// References in double: logits [N,K]. loss_sum [1]: N times the loss, in nats. correct [1]: examples whose
/// first largest logit is at their label, of mixed ones at that of the larger weight, the first if they are
/// equal. gradient: of the loss.
void reference_cross_entropy(View<const double> logits, const LossTargets& targets, View<double> loss_sum,
                             View<double> correct, const CrossEntropyOptions& options = {});
void reference_cross_entropy_gradient(View<const double> logits, const LossTargets& targets,
                                      View<double> dlogits, const CrossEntropyOptions& options = {});

/// Native kernels. Labels are i32 in [0, classes), mix and dlogits f32, loss_sum one f64, correct one i64.
///   cross entropy            logits, labels[, mixed_labels, mix] -> loss_sum, correct
///   cross entropy gradient   logits, labels[, mixed_labels, mix] -> dlogits
/// The largest logit is subtracted first; sums in double, merged in order.
/// A logit that is NaN makes loss_sum NaN.
std::unique_ptr<Kernel> make_cross_entropy(std::int64_t n, std::int64_t classes, Isa isa,
                                           const CrossEntropyOptions& options = {}, bool mixed = false);
std::unique_ptr<Kernel> make_cross_entropy_gradient(std::int64_t n, std::int64_t classes, Isa isa,
                                                    const CrossEntropyOptions& options = {},
                                                    bool mixed = false);

}  // namespace resnet::kernels
