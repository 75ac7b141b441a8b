// The updates of parameters in double.
#include <cmath>

#include "kernels/optimizer/optimizer.h"

namespace resnet::kernels {

void reference_sgd(const SgdUpdate& update, const SgdOperands& o) {
  const double lr = o.step[StepValue::lr] * update.lr_factor;
  const double momentum = update.momentum ? o.step[StepValue::momentum] : 0;
  const bool first = update.momentum && o.step[StepValue::update] == 1;
  for (std::int64_t i = 0; i < o.param.shape.elements(); ++i) {
    const double g = (o.grad.data == nullptr ? 0.0 : o.grad[i]) + update.weight_decay * o.param[i];
    double direction = g;
    if (update.momentum) {
      const double b = first ? g : momentum * o.buffer[i] + (1.0 - update.dampening) * g;
      direction = update.nesterov ? g + momentum * b : b;
      o.updated_buffer[i] = b;
    }
    o.updated[i] = o.param[i] - lr * direction;
  }
}

void reference_adamw(const AdamWUpdate& update, const AdamWOperands& o) {
  const double lr = o.step[StepValue::lr] * update.lr_factor;
  const double beta1 = o.step[StepValue::momentum], beta2 = update.beta2;
  const double correction1 = 1.0 - std::pow(beta1, o.step[StepValue::update]);
  const double correction2 = 1.0 - std::pow(beta2, o.step[StepValue::update]);
  for (std::int64_t i = 0; i < o.param.shape.elements(); ++i) {
    const double g = o.grad.data == nullptr ? 0.0 : o.grad[i];
    const double m = beta1 * o.exp_avg[i] + (1.0 - beta1) * g;
    const double v = beta2 * o.exp_avg_sq[i] + (1.0 - beta2) * g * g;
    o.updated_exp_avg[i] = m;
    o.updated_exp_avg_sq[i] = v;
    o.updated[i] = (1.0 - lr * update.weight_decay) * o.param[i] -
                   lr * (m / correction1) / (std::sqrt(v / correction2) + update.eps);
  }
}

void reference_average(const AverageOperands& o) {
  const double share = o.share[0];
  for (std::int64_t i = 0; i < o.value.shape.elements(); ++i)
    o.updated[i] = share == 1 ? o.value[i] : o.average[i] + share * (o.value[i] - o.average[i]);
}

}  // namespace resnet::kernels
