// The loss and its gradient.
#include <array>
#include <cstring>

#include "gpu/rules.h"
#include "ops/cross_entropy.h"

namespace resnet::gpu {
namespace {

constexpr std::int64_t kRows = device::kThreads / 32;  // of a block: a warp each
constexpr std::int64_t kSums = 3;                      // of a block: loss, right answers, weights

// What loss and gradient have in common.
struct Loss {
  std::int64_t n, classes;
  double smoothing;
  bool mixed;     // two more inputs behind the labels
  bool weighted;  // by class
  std::vector<std::byte> weights;

  Loss(const Signature& s, const kernels::CrossEntropyOptions& options)
      : n(s.inputs[ops::CrossEntropyInput::logits]->shape[0]),
        classes(s.inputs[ops::CrossEntropyInput::logits]->shape[1]),
        smoothing(options.label_smoothing),
        mixed(s.inputs[ops::CrossEntropyInput::mixed_labels] != nullptr),
        weighted(!options.class_weights.empty()),
        weights(options.class_weights.size() * sizeof(double)) {
    if (weighted) std::memcpy(weights.data(), options.class_weights.data(), weights.size());
  }
  std::int64_t blocks() const { return divided(n, kRows); }
  std::size_t first_result() const { return mixed ? 4 : 2; }
  device::LossArgs args(const Recorder& r) const {
    return {.logits = r.operand<const float>(0),
            .labels = r.operand<const std::int32_t>(1),
            .mixed_labels = mixed ? r.operand<const std::int32_t>(2) : nullptr,
            .mix = mixed ? r.operand<const float>(3) : nullptr,
            .class_weights = weighted ? r.constants<double>() : nullptr,
            .parts = r.workspace<double>(),
            .smoothing = smoothing,
            .n = n,
            .classes = classes,
            .parts_count = blocks()};
  }
};

class CrossEntropyRules final : public RulesOf<ops::CrossEntropy> {
  Lowering lower_this(const ops::CrossEntropy& operation, const Signature& s, const Machine&) const override {
    const Loss loss(s, operation.options());
    return lowered({.name = "cross_entropy",
                    .record =
                        [loss](Recorder& r) {
                          device::LossArgs args = loss.args(r);
                          args.loss_sum = r.operand<double>(loss.first_result());
                          args.correct = r.operand<std::int64_t>(loss.first_result() + 1);
                          r.launch(KernelId::cross_entropy, loss.blocks(), args,
                                   kRows * kSums * std::int64_t{sizeof(double)});
                          r.launch(KernelId::cross_entropy_merge, 1, args);
                        },
                    .workspace_bytes = loss.blocks() * kSums * std::int64_t{sizeof(double)},
                    .constants = loss.weights},
                   "sums in double");
  }
};

class CrossEntropyGradientRules final : public RulesOf<ops::CrossEntropyGradient> {
  Lowering lower_this(const ops::CrossEntropyGradient& operation, const Signature& s,
                      const Machine&) const override {
    const Loss loss(s, operation.options());
    return lowered({.name = "cross_entropy_gradient",
                    .record =
                        [loss](Recorder& r) {
                          device::LossArgs args = loss.args(r);
                          args.dlogits = r.operand<float>(loss.first_result());
                          if (loss.weighted) r.launch(KernelId::cross_entropy_weights, 1, args);
                          r.launch(KernelId::cross_entropy_gradient, loss.blocks(), args);
                        },
                    .workspace_bytes = loss.weighted ? std::int64_t{sizeof(double)} : 0,
                    .constants = loss.weights},
                   "sums in double");
  }
};

}  // namespace

RulesList loss_rules() {
  static const CrossEntropyRules loss;
  static const CrossEntropyGradientRules gradient;
  static const std::array<const Rules*, 2> list = {&loss, &gradient};
  return list;
}

}  // namespace resnet::gpu
