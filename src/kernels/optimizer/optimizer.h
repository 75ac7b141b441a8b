// Updates of parameters.
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// Reference in double: updated = param - lr * grad.
void reference_sgd(View<const double> param, View<const double> grad, double lr, View<double> updated);

/// Native kernel in f32. Operands: param, grad, lr (one number) -> updated, which may be param's memory.
std::unique_ptr<Kernel> make_sgd(std::int64_t elements, Isa isa);

}  // namespace resnet::kernels
