// The updates of parameters in double.
#include "kernels/optimizer/optimizer.h"

namespace resnet::kernels {

void reference_sgd(View<const double> param, View<const double> grad, double lr, View<double> updated) {
  for (std::int64_t i = 0; i < param.shape.elements(); ++i) updated[i] = param[i] - lr * grad[i];
}

}  // namespace resnet::kernels
