#include "kernels/optimizer/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/optimizer/optimizer_simd.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

constexpr Index kChunk = 16 * 1024;  // elements of a task

// base^exponent by squaring, so that every machine gives the same bits.
double power(double base, Index exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

/// One sweep over operands of equal size.
class Update : public Kernel {
 public:
  Update(Index elements, Isa isa) : elements_(elements), functions_(optimizer_functions(isa)) {}
  Index tasks(int) const noexcept override { return (elements_ + kChunk - 1) / kChunk; }

 protected:
  /// The part of a task of each operand.
  struct Chunk {
    const Call& call;
    Index begin, count;
    const float* in(int i) const noexcept { return call.operand<const float>(i) + begin; }
    float* out(int i) const noexcept { return call.operand<float>(i) + begin; }
    // Parameter for gradient, and the factor 0, where the gradient is zero by algebra.
    bool has_gradient() const noexcept { return call.operand<const float>(1) != nullptr; }
    const float* gradient() const noexcept { return in(has_gradient() ? 1 : 0); }
    float gradient_factor() const noexcept { return has_gradient() ? 1.0F : 0.0F; }
  };
  Chunk chunk(const Call& call, Index task) const noexcept {
    return {call, task * kChunk, std::min(kChunk, elements_ - task * kChunk)};
  }
  const OptimizerFunctions& functions() const noexcept { return functions_; }

 private:
  Index elements_;
  const OptimizerFunctions& functions_;
};

class Sgd final : public Update {
 public:
  Sgd(const SgdUpdate& update, Index elements, Isa isa) : Update(elements, isa), update_(update) {}

  std::string_view name() const noexcept override { return "sgd/sweep"; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Chunk c = chunk(call, task);
    const auto* step = call.operand<const float>(2);
    const auto lr = static_cast<float>(static_cast<double>(step[StepValue::lr]) * update_.lr_factor);
    if (!update_.momentum && update_.weight_decay == 0 && c.has_gradient())
      return call.expect_finite(
          functions().sgd({.param = c.in(0), .grad = c.in(1), .updated = c.out(3), .lr = lr}, c.count));
    SgdMomentumStep s{};
    s.param = c.in(0);
    s.grad = c.gradient();
    s.lr = lr;
    s.grad_factor = c.gradient_factor();
    s.decay = static_cast<float>(update_.weight_decay);
    if (!update_.momentum) {
      s.updated = c.out(3);
      return call.expect_finite(functions().sgd_decay(s, c.count));
    }
    const bool first = step[StepValue::update] == 1.0F;
    s.buffer = c.in(3);
    s.updated = c.out(4);
    s.updated_buffer = c.out(5);
    s.keep = first ? 0.0F : step[StepValue::momentum];
    s.gain = first ? 1.0F : static_cast<float>(1.0 - update_.dampening);
    s.of_g = update_.nesterov ? 1.0F : 0.0F;
    s.of_b = update_.nesterov ? step[StepValue::momentum] : 1.0F;
    call.expect_finite(functions().sgd_momentum(s, c.count));
  }

 private:
  SgdUpdate update_;
};

class AdamW final : public Update {
 public:
  AdamW(const AdamWUpdate& update, Index elements, Isa isa) : Update(elements, isa), update_(update) {}

  std::string_view name() const noexcept override { return "adamw/sweep"; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Chunk c = chunk(call, task);
    const auto* step = call.operand<const float>(2);
    const auto beta1 = static_cast<double>(step[StepValue::momentum]);
    const auto t = static_cast<Index>(step[StepValue::update]);
    const double lr = static_cast<double>(step[StepValue::lr]) * update_.lr_factor;
    AdamWStep s{};
    s.param = c.in(0);
    s.grad = c.gradient();
    s.exp_avg = c.in(3);
    s.exp_avg_sq = c.in(4);
    s.updated = c.out(5);
    s.updated_exp_avg = c.out(6);
    s.updated_exp_avg_sq = c.out(7);
    s.lr = static_cast<float>(lr / (1.0 - power(beta1, t)));
    s.grad_factor = c.gradient_factor();
    s.shrink = static_cast<float>(1.0 - lr * update_.weight_decay);
    s.gain1 = static_cast<float>(1.0 - beta1);
    s.gain2 = static_cast<float>(1.0 - update_.beta2);
    s.root_factor = static_cast<float>(1.0 / std::sqrt(1.0 - power(update_.beta2, t)));
    s.eps = static_cast<float>(update_.eps);
    call.expect_finite(functions().adamw(s, c.count));
  }

 private:
  AdamWUpdate update_;
};

class Average final : public Update {
 public:
  using Update::Update;

  std::string_view name() const noexcept override { return "average/sweep"; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Chunk c = chunk(call, task);
    const float share = *call.operand<const float>(2);
    const float *const average = c.in(0), *const value = c.in(1);
    float* const updated = c.out(3);
    if (share == 0 && updated == average) return;
    if (share == 1) {
      std::copy_n(value, c.count, updated);
    } else {
      functions().average({.average = average, .value = value, .updated = updated, .share = share}, c.count);
    }
  }
};

}  // namespace

std::unique_ptr<Kernel> make_sgd(const SgdUpdate& update, std::int64_t elements, Isa isa) {
  return std::make_unique<Sgd>(update, elements, isa);
}
std::unique_ptr<Kernel> make_adamw(const AdamWUpdate& update, std::int64_t elements, Isa isa) {
  return std::make_unique<AdamW>(update, elements, isa);
}
std::unique_ptr<Kernel> make_average(std::int64_t elements, Isa isa) {
  return std::make_unique<Average>(elements, isa);
}

}  // namespace resnet::kernels
