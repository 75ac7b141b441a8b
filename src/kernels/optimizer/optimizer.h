// Updates of parameters.
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// Places in the vector of what changes from step to step.
struct StepValue {
  enum : int {
    lr,
    momentum,  // SGD's momentum, Adam's first beta
    update,    // number of this update, from 1
    count
  };
  /// So many of them an update with or without slots reads: one without, plain SGD's, the learning rate
  /// alone.
  static constexpr std::int64_t read(bool slots) { return slots ? count : lr + 1; }
};

/// SGD of one parameter, but for what changes from step to step (resnet/optimizer.h has the formulas).
struct SgdUpdate {
  bool momentum = false;  // whether there is a momentum buffer
  bool nesterov = false;
  double dampening = 0;
  double weight_decay = 0;
  double lr_factor = 1;
};

/// AdamW of one parameter, likewise.
struct AdamWUpdate {
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double lr_factor = 1;
};

/// Operands of the references, all of one size but `step`. A gradient without data is zero.
struct SgdOperands {
  View<const double> param, grad, step, buffer = {};
  View<double> updated, updated_buffer = {};
};
struct AdamWOperands {
  View<const double> param, grad, step, exp_avg, exp_avg_sq;
  View<double> updated, updated_exp_avg, updated_exp_avg_sq;
};
/// Of an average that moves towards a value; `share` is one number.
struct AverageOperands {
  View<const double> average, value, share;
  View<double> updated;
};
/// References in double.
void reference_sgd(const SgdUpdate& update, const SgdOperands& operands);
void reference_adamw(const AdamWUpdate& update, const AdamWOperands& operands);
void reference_average(const AverageOperands& operands);

/// Native kernels in f32. Operands, in the order of the references' structs: inputs, then outputs, each of
/// which may be the memory of its input; `step` is f32 [StepValue::read(momentum)]. Without momentum there
/// is no buffer. They set Call::nonfinite where anything that they write is not finite, as it is wherever a
/// gradient is not.
std::unique_ptr<Kernel> make_sgd(const SgdUpdate& update, std::int64_t elements, Isa isa);
std::unique_ptr<Kernel> make_adamw(const AdamWUpdate& update, std::int64_t elements, Isa isa);
/// average + share * (value - average), but a copy of the value where the share is 1. Where it is 0 and the
/// output is the average's memory, nothing is read. Tells nothing of what is not finite: the value does.
std::unique_ptr<Kernel> make_average(std::int64_t elements, Isa isa);

}  // namespace resnet::kernels
