#include "kernels/loss/loss.h"

#include <cmath>

#include "kernels/loss/rows.h"
#include "kernels/loss/targets.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

class CrossEntropy final : public LossKernel<RowKernel> {
 public:
  using LossKernel::LossKernel;
  std::string_view name() const noexcept override { return "cross_entropy/rows"; }

 private:
  Partial partial(const Call& call, Rows range) const noexcept override {
    Partial sum;
    for (Index row = range.first; row < range.last; ++row) {
      const float* logit = logits(call, row);
      const Index best = argmax(logit);
      const auto largest = double{logit[best]};
      double exp_sum = 0;
      for (Index k = 0; k < classes_; ++k) exp_sum += std::exp(double{logit[k]} - largest);
      sum.loss += std::log(exp_sum) - (double{logit[label(call, row)]} - largest);
      sum.correct += best == label(call, row) ? 1 : 0;
    }
    return sum;
  }
  void finish(const Call& call, const Partial& total) const noexcept override {
    *call.operand<double>(2) = total.loss;
    *call.operand<std::int64_t>(3) = total.correct;
  }
};

class CrossEntropyGradient final : public RowKernel {
 public:
  using RowKernel::RowKernel;
  std::string_view name() const noexcept override { return "cross_entropy_gradient/rows"; }
  Index scratch_bytes() const noexcept override { return classes_ * Index{sizeof(double)}; }
  Index tasks(int) const noexcept override { return chunks(); }

  void run(const Call& call, int, Index task) const noexcept override {
    auto* exps = reinterpret_cast<double*>(call.scratch);
    const Rows range = rows(task);
    for (Index row = range.first; row < range.last; ++row) {
      const float* logit = logits(call, row);
      const double exp_sum = exponentials(logit, exps);
      const double scale = 1.0 / (exp_sum * static_cast<double>(n_));
      exps[label(call, row)] -= exp_sum;  // (softmax - 1) / n, rounded once
      float* dlogit = call.operand<float>(2) + row * classes_;
      for (Index k = 0; k < classes_; ++k) dlogit[k] = static_cast<float>(exps[k] * scale);
    }
  }
};

}  // namespace

std::unique_ptr<Kernel> make_cross_entropy(std::int64_t n, std::int64_t classes, Isa,
                                           const CrossEntropyOptions& options, bool mixed) {
  if (mixed || !options.plain()) return make_target_cross_entropy(n, classes, options, mixed);
  return std::make_unique<CrossEntropy>(n, classes);
}
std::unique_ptr<Kernel> make_cross_entropy_gradient(std::int64_t n, std::int64_t classes, Isa,
                                                    const CrossEntropyOptions& options, bool mixed) {
  if (mixed || !options.plain()) return make_target_cross_entropy_gradient(n, classes, options, mixed);
  return std::make_unique<CrossEntropyGradient>(n, classes);
}

}  // namespace resnet::kernels
