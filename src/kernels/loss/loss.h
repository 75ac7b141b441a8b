// Softmax cross-entropy over [n][classes].
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// References in double: logits [N,K], labels [N]. loss_sum [1]: sum over the examples (the mean is
/// over N), in nats. correct [1]: examples whose first largest logit is at their label.
/// gradient: of the mean loss, (softmax - onehot) / N.
void reference_cross_entropy(View<const double> logits, View<const double> labels, View<double> loss_sum,
                             View<double> correct);
void reference_cross_entropy_gradient(View<const double> logits, View<const double> labels,
                                      View<double> dlogits);

/// Native kernels. Labels are i32 in [0, classes); loss_sum is one f64; correct one i64; dlogits f32.
///   cross entropy            logits, labels -> loss_sum, correct
///   cross entropy gradient   logits, labels -> dlogits
/// The largest logit is subtracted first; sums in double, merged in order.
/// A logit that is NaN makes loss_sum NaN.
std::unique_ptr<Kernel> make_cross_entropy(std::int64_t n, std::int64_t classes, Isa isa);
std::unique_ptr<Kernel> make_cross_entropy_gradient(std::int64_t n, std::int64_t classes, Isa isa);

}  // namespace resnet::kernels
