// Softmax cross-entropy (resnet/loss.h has the formula), a warp a row of logits, in double.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

inline constexpr int kLossRows = kThreads / kWarp;  // of a block
inline constexpr int kLossSums = 3;                 // loss, right answers, weights

RESNET_WORD double warp_sum(double v) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) v += shuffle_xor(v, mask);
  return v;
}

/// The first largest logit; a NaN counts as largest, as in PyTorch.
struct Largest {
  float value;
  int at;
};
RESNET_WORD Largest larger(const Largest& a, const Largest& b) {
  const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  if (a_nan != b_nan) return a_nan ? a : b;
  if (!a_nan && a.value != b.value) return a.value > b.value ? a : b;
  return a.at < b.at ? a : b;
}

struct RowSoftmax {
  Largest largest;
  double exp_sum;  // of exp(logit - largest)
};
RESNET_WORD RowSoftmax softmax_of(const float* logits, int classes) {
  const int lane = thread() % kWarp;
  Largest best{logits[0], 0};
  for (int k = lane; k < classes; k += kWarp) best = larger(best, Largest{logits[k], k});
  for (int mask = kWarp / 2; mask > 0; mask /= 2)
    best = larger(best, Largest{shuffle_xor(best.value, mask), shuffle_xor(best.at, mask)});
  double sum = 0;
  for (int k = lane; k < classes; k += kWarp)
    sum += exp(static_cast<double>(logits[k]) - static_cast<double>(best.value));
  return {best, warp_sum(sum)};
}

/// The targets of an example: a label, or two with their shares.
struct LossTarget {
  int label, mixed;
  double share;  // of the label; the mixed one has the rest
};
RESNET_WORD LossTarget target_of(const LossArgs& g, std::int64_t row) {
  if (g.mixed_labels == nullptr) return {g.labels[row], g.labels[row], 1.0};
  return {g.labels[row], g.mixed_labels[row], static_cast<double>(g.mix[row])};
}
RESNET_WORD double class_weight(const LossArgs& g, int k) {
  return g.class_weights == nullptr ? 1.0 : g.class_weights[k];
}
RESNET_WORD double weight_of(const LossArgs& g, const LossTarget& t) {
  return t.share * class_weight(g, t.label) + (1.0 - t.share) * class_weight(g, t.mixed);
}

/// Parts of a block's rows.
RESNET_WORD void cross_entropy(const LossArgs& g) {
  const int warp = thread() / kWarp, lane = thread() % kWarp;
  const auto classes = static_cast<int>(g.classes);
  const std::int64_t row = static_cast<std::int64_t>(block()) * kLossRows + warp;
  const Shared<double> parts = shared<double>(0);
  double loss = 0, correct = 0, weight = 0;
  if (row < g.n) {
    const float* logits = g.logits + row * g.classes;
    const RowSoftmax s = softmax_of(logits, classes);
    const LossTarget t = target_of(g, row);
    const double log_sum = log(s.exp_sum), largest = static_cast<double>(s.largest.value);
    const auto of_label = [&](int k) {
      return class_weight(g, k) * (log_sum - (static_cast<double>(logits[k]) - largest));
    };
    loss = of_label(t.label);
    if (t.share != 1.0) {  // where it is 1, the other's loss may be infinite
      loss = t.share == 0.0 ? of_label(t.mixed) : t.share * loss + (1.0 - t.share) * of_label(t.mixed);
    }
    if (g.smoothing > 0.0) {
      double all = 0;
      for (int k = lane; k < classes; k += kWarp) all += of_label(k);
      loss = (1.0 - g.smoothing) * loss + g.smoothing / static_cast<double>(g.classes) * warp_sum(all);
    }
    correct = s.largest.at == (t.share >= 0.5 ? t.label : t.mixed) ? 1.0 : 0.0;
    weight = weight_of(g, t);
  }
  if (lane == 0) {
    parts.store(warp * kLossSums, loss);
    parts.store(warp * kLossSums + 1, correct);
    parts.store(warp * kLossSums + 2, weight);
  }
  sync();
  if (thread() < kLossSums) {
    double sum = 0;
    for (int r = 0; r < kLossRows; ++r) sum += parts.load(r * kLossSums + thread());
    g.parts[static_cast<std::int64_t>(block()) * kLossSums + thread()] = sum;
  }
}

/// One thread.
RESNET_WORD void cross_entropy_merge(const LossArgs& g) {
  if (thread() != 0) return;
  double sums[kLossSums] = {};
  for (std::int64_t p = 0; p < g.parts_count; ++p)
    for (int k = 0; k < kLossSums; ++k) sums[k] += g.parts[p * kLossSums + k];
  if (g.class_weights != nullptr) sums[0] *= static_cast<double>(g.n) / sums[2];
  *g.loss_sum = sums[0];
  *g.correct = static_cast<std::int64_t>(sums[1]);
}

/// The weights of all examples, one block: a part.
RESNET_WORD void cross_entropy_weights(const LossArgs& g) {
  if (thread() != 0) return;
  double sum = 0;
  for (std::int64_t row = 0; row < g.n; ++row) sum += weight_of(g, target_of(g, row));
  *g.parts = sum;
}

/// The loss is the sum over k of share[k] * -log p[k]: its gradient p[j] * (all shares) - share[j].
RESNET_WORD void cross_entropy_gradient(const LossArgs& g) {
  const int warp = thread() / kWarp, lane = thread() % kWarp;
  const auto classes = static_cast<int>(g.classes);
  const std::int64_t row = static_cast<std::int64_t>(block()) * kLossRows + warp;
  if (row >= g.n) return;
  const float* logits = g.logits + row * g.classes;
  const RowSoftmax s = softmax_of(logits, classes);
  const LossTarget t = target_of(g, row);
  const double uniform = g.smoothing / static_cast<double>(g.classes);
  const double weights = g.class_weights == nullptr ? static_cast<double>(g.n) : *g.parts;
  double all = 0;
  for (int k = lane; k < classes; k += kWarp) all += class_weight(g, k);
  all = warp_sum(all);
  const double total = (1.0 - g.smoothing) * weight_of(g, t) + uniform * all;
  for (int k = lane; k < classes; k += kWarp) {
    const double probability =
        exp(static_cast<double>(logits[k]) - static_cast<double>(s.largest.value)) / s.exp_sum;
    double share = uniform * class_weight(g, k);
    if (k == t.label) share += (1.0 - g.smoothing) * t.share * class_weight(g, k);
    if (k == t.mixed) share += (1.0 - g.smoothing) * (1.0 - t.share) * class_weight(g, k);
    g.dlogits[row * g.classes + k] = static_cast<float>((probability * total - share) / weights);
  }
}

}  // namespace resnet::device
