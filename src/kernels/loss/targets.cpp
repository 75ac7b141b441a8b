#include "kernels/loss/targets.h"

#include <cmath>

#include "kernels/loss/rows.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

// A target is a share of each class: (1 - smoothing) of its labels, the rest of all. The loss of an example
// is the sum over k of share[k] * weight[k] * -log p[k].
class TargetKernel : public RowKernel {
 public:
  TargetKernel(Index n, Index classes, const CrossEntropyOptions& options, bool mixed)
      : RowKernel(n, classes),
        options_(options),
        mixed_(mixed),
        uniform_(options.label_smoothing / static_cast<double>(classes)) {
    for (Index k = 0; k < classes; ++k) all_ += options_.weight(k);
  }

 protected:
  struct Target {
    Index label, mixed;
    double label_share, mixed_share;  // sum 1 - smoothing
    Index answer;                     // what counts as correct
  };
  Target target(const Call& call, Index row) const noexcept {
    const Index first = label(call, row);
    const double share = 1 - options_.label_smoothing;
    if (!mixed_) return {first, first, share, 0, first};
    const auto mix = double{call.operand<const float>(3)[row]};
    const Index second = call.operand<const std::int32_t>(2)[row];
    return {first, second, share * mix, share * (1 - mix), mix >= 0.5 ? first : second};
  }
  // The sum of the weights of all examples: each task has it for itself.
  double weights(const Call& call) const noexcept {
    if (options_.class_weights.empty()) return static_cast<double>(n_);
    double sum = 0;
    for (Index row = 0; row < n_; ++row) {
      const Index first = label(call, row);
      const double mix = mixed_ ? double{call.operand<const float>(3)[row]} : 1.0;
      const Index second = mixed_ ? call.operand<const std::int32_t>(2)[row] : first;
      sum += mix * options_.weight(first) + (1 - mix) * options_.weight(second);
    }
    return sum;
  }
  int outputs() const noexcept { return mixed_ ? 4 : 2; }

  CrossEntropyOptions options_;
  bool mixed_;
  double uniform_;  // of the smoothing, for each class
  double all_ = 0;  // weights of the classes
};

class TargetCrossEntropy final : public LossKernel<TargetKernel> {
 public:
  using LossKernel::LossKernel;
  std::string_view name() const noexcept override { return "cross_entropy/targets"; }

 private:
  Partial partial(const Call& call, Rows range) const noexcept override {
    Partial sum;
    for (Index row = range.first; row < range.last; ++row) {
      const float* logit = logits(call, row);
      const Target t = target(call, row);
      const Index best = argmax(logit);
      const auto largest = double{logit[best]};
      double exp_sum = 0, smooth = 0;
      for (Index k = 0; k < classes_; ++k) {
        exp_sum += std::exp(double{logit[k]} - largest);
        smooth += options_.weight(k) * (double{logit[k]} - largest);
      }
      const double log_sum = std::log(exp_sum);
      // What has no share is left out: its loss may be infinite.
      const auto of = [&](double share, Index k) {
        return share == 0 ? 0.0 : share * options_.weight(k) * (log_sum - (double{logit[k]} - largest));
      };
      sum.loss += of(t.label_share, t.label) + of(t.mixed_share, t.mixed);
      if (uniform_ > 0) sum.loss += uniform_ * (all_ * log_sum - smooth);
      if (std::isnan(exp_sum)) sum.loss = exp_sum;
      sum.correct += best == t.answer ? 1 : 0;
    }
    return sum;
  }
  void finish(const Call& call, const Partial& total) const noexcept override {
    *call.operand<double>(outputs()) = total.loss * (static_cast<double>(n_) / weights(call));
    *call.operand<std::int64_t>(outputs() + 1) = total.correct;
  }
};

class TargetCrossEntropyGradient final : public TargetKernel {
 public:
  using TargetKernel::TargetKernel;
  std::string_view name() const noexcept override { return "cross_entropy_gradient/targets"; }
  Index scratch_bytes() const noexcept override { return classes_ * Index{sizeof(double)}; }
  Index tasks(int) const noexcept override { return chunks(); }

  void run(const Call& call, int, Index task) const noexcept override {
    auto* exps = reinterpret_cast<double*>(call.scratch);
    const double sum = weights(call);
    const Rows range = rows(task);
    for (Index row = range.first; row < range.last; ++row) {
      const float* logit = logits(call, row);
      const double exp_sum = exponentials(logit, exps);
      const Target t = target(call, row);
      const double label_share = t.label_share * options_.weight(t.label);
      const double mixed_share = t.mixed_share * options_.weight(t.mixed);
      const double total = label_share + mixed_share + uniform_ * all_;
      const double scale = 1.0 / (exp_sum * sum);
      float* dlogit = call.operand<float>(outputs()) + row * classes_;
      for (Index k = 0; k < classes_; ++k) {  // (p[k] * total - share[k]) / sum, rounded once
        double share = uniform_ * options_.weight(k);
        if (k == t.label) share += label_share;
        if (k == t.mixed) share += mixed_share;
        dlogit[k] = static_cast<float>((exps[k] * total - exp_sum * share) * scale);
      }
    }
  }
};

}  // namespace

std::unique_ptr<Kernel> make_target_cross_entropy(Index n, Index classes, const CrossEntropyOptions& options,
                                                  bool mixed) {
  return std::make_unique<TargetCrossEntropy>(n, classes, options, mixed);
}
std::unique_ptr<Kernel> make_target_cross_entropy_gradient(Index n, Index classes,
                                                           const CrossEntropyOptions& options, bool mixed) {
  return std::make_unique<TargetCrossEntropyGradient>(n, classes, options, mixed);
}

}  // namespace resnet::kernels
