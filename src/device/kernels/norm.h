// Batch normalisation, and sums over rows by channel. Statistics are summed in double: the sums of the
// squares of f32 lose nothing there, so that no shift is needed (mean of 1000 deviations: 1e-10 of the
// variance).
#pragma once

#include "device/args.h"
#include "device/kernels/elementwise.h"
#include "device/words.h"

namespace resnet::device {

inline constexpr int kSumRows = kThreads / kWarp;  // a warp takes every eighth row of a block's share

/// Sums of kSums numbers that f(sums, row, channel) adds, over a block's share of the rows, for 32 channels.
/// Blocks: [share][32 channels]. Shared memory: kThreads * kSums doubles.
template <int kSums, class F>
RESNET_WORD void sum_rows(const SumsArgs& g, const F& f) {
  const int lane = thread() % kWarp, warp = thread() / kWarp;
  const auto groups = static_cast<int>((g.c + kWarp - 1) / kWarp);
  const std::int64_t share = block() / groups,
                     channel = static_cast<std::int64_t>(block() % groups) * kWarp + lane;
  const std::int64_t rows = (g.rows + g.shares - 1) / g.shares;
  const std::int64_t first = share * rows;
  const std::int64_t last = first + rows < g.rows ? first + rows : g.rows;
  double sums[kSums] = {};
  if (channel < g.c)
    for (std::int64_t row = first + warp; row < last; row += kSumRows) f(sums, row, channel);
  const Shared<double> all = shared<double>(0);
  RESNET_UNROLL
  for (int k = 0; k < kSums; ++k) all.store((k * kSumRows + warp) * kWarp + lane, sums[k]);
  sync();
  if (warp < kSums && channel < g.c) {
    double sum = 0;
    for (int r = 0; r < kSumRows; ++r) sum += all.load((warp * kSumRows + r) * kWarp + lane);
    g.parts[(share * kSums + warp) * g.c + channel] = sum;
  }
}

template <class T>
RESNET_WORD void channel_sums(const SumsArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  sum_rows<1>(g, [&](double* sums, std::int64_t row, std::int64_t c) {
    sums[0] += static_cast<double>(to_float(x[row * g.c + c]));
  });
}

RESNET_WORD double merged(const double* parts, std::int64_t shares, std::int64_t stride) {
  double sum = 0;
  for (std::int64_t s = 0; s < shares; ++s) sum += parts[s * stride];
  return sum;
}

RESNET_WORD void channel_sum_merge(const ChannelSumArgs& g) {
  const std::int64_t c = static_cast<std::int64_t>(block()) * kThreads + thread();
  if (c < g.c) g.sum[c] = static_cast<float>(merged(g.parts + c, g.shares, g.c));
}

template <class T>
RESNET_WORD void norm_moments(const SumsArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  sum_rows<2>(g, [&](double* sums, std::int64_t row, std::int64_t c) {
    const auto v = static_cast<double>(to_float(x[row * g.c + c]));
    sums[0] += v;
    sums[1] += v * v;
  });
}

/// A thread a channel.
RESNET_WORD void norm_table(const NormTableArgs& g) {
  const std::int64_t c = static_cast<std::int64_t>(block()) * kThreads + thread();
  if (c >= g.c) return;
  double mean = 0, variance = 0;
  if (g.parts == nullptr) {
    mean = static_cast<double>(g.running_mean[c]);
    variance = static_cast<double>(g.running_var[c]);
  } else {
    const auto rows = static_cast<double>(g.rows);
    mean = merged(g.parts + c, g.shares, 2 * g.c) / rows;
    variance = merged(g.parts + g.c + c, g.shares, 2 * g.c) / rows - mean * mean;
    if (variance < 0) variance = 0;  // NaN stays
  }
  const double inv_std = 1.0 / sqrt(variance + g.eps);
  if (g.parts != nullptr) {
    g.mean[c] = static_cast<float>(mean);
    g.inv_std[c] = static_cast<float>(inv_std);
    const double unbiased =
        variance * static_cast<double>(g.rows) / (g.rows > 1 ? static_cast<double>(g.rows - 1) : 1.0);
    const auto update = [&](float* running, const float* last, double of_batch) {
      if (running == nullptr) return;
      running[c] =
          static_cast<float>((1.0 - g.momentum) * static_cast<double>(last[c]) + g.momentum * of_batch);
      expect_finite(g.nonfinite, running[c]);
    };
    update(g.new_running_mean, g.running_mean, mean);
    update(g.new_running_var, g.running_var, unbiased);
  }
  // What rounding the mean to f32 leaves goes into the offset.
  const double scale = inv_std * static_cast<double>(g.gamma[c]);
  const auto rounded_mean = static_cast<float>(mean);
  g.table[c] = rounded_mean;
  g.table[g.c + c] = static_cast<float>(scale);
  g.table[2 * g.c + c] =
      static_cast<float>(static_cast<double>(g.beta[c]) - (mean - static_cast<double>(rounded_mean)) * scale);
}

/// z of one element, before it is rounded.
RESNET_WORD float normed(const NormApplyArgs& g, float x, float mean, float scale, float offset,
                         float residual) {
  const float v = (x - mean) * scale + offset + residual;
  return g.relu != 0 ? relu_of(v) : v;
}

/// A thread takes eight neighbours at a time, so that it writes whole bytes of the mask.
template <class T>
RESNET_WORD void norm_apply(const NormApplyArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  const auto* residual = static_cast<const T*>(g.residual);
  auto* z = static_cast<T*>(g.z);
  const bool whole = g.c % 8 == 0;  // eight neighbours are of one row, and there is no rest
  const std::int64_t elements = g.rows * g.c;
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads;
  for (std::int64_t e = static_cast<std::int64_t>(block()) * kThreads + thread(); e * 8 < elements;
       e += stride) {
    const std::int64_t first = e * 8;
    std::int64_t c = first % g.c;
    unsigned bits = 0;
    if (whole) {
      const Eight mean = load_eight(g.table + c), scale = load_eight(g.table + g.c + c);
      const Eight offset = load_eight(g.table + 2 * g.c + c);
      Eight v = load_eight(x + first), r = {};
      if (residual != nullptr) r = load_eight(residual + first);
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k) {
        v.v[k] = normed(g, v.v[k], mean.v[k], scale.v[k], offset.v[k], r.v[k]);
        bits |= (v.v[k] <= 0.0F ? 0U : 1U) << static_cast<unsigned>(k);
      }
      store_eight(z + first, v);
    } else {
      for (std::int64_t i = first; i < first + 8 && i < elements; ++i) {
        const float r = residual != nullptr ? to_float(residual[i]) : 0.0F;
        const float v = normed(g, to_float(x[i]), g.table[c], g.table[g.c + c], g.table[2 * g.c + c], r);
        z[i] = rounded<T>(v);
        bits |= (v <= 0.0F ? 0U : 1U) << static_cast<unsigned>(i - first);
        c = c + 1 == g.c ? 0 : c + 1;
      }
    }
    if (g.mask != nullptr) g.mask[e] = static_cast<std::uint8_t>(bits);
  }
}

/// How a ReLU's gradient is gated: not at all, by the values behind it, or by its mask.
enum class GateKind : int { none, value, mask };

template <class T, GateKind kGate>
RESNET_WORD bool passes(const void* gate, std::int64_t i) {
  if constexpr (kGate == GateKind::value) return !(to_float(static_cast<const T*>(gate)[i]) <= 0.0F);
  if constexpr (kGate == GateKind::mask)
    return (static_cast<const std::uint8_t*>(gate)[i / 8] >> static_cast<unsigned>(i % 8) & 1U) != 0;
  return true;
}

template <class T, GateKind kGate>
RESNET_WORD void norm_gradient_sums(const SumsArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  const auto* dz = static_cast<const T*>(g.dz);
  sum_rows<2>(g, [&](double* sums, std::int64_t row, std::int64_t c) {
    const std::int64_t i = row * g.c + c;
    const double d = passes<T, kGate>(g.gate, i) ? static_cast<double>(to_float(dz[i])) : 0.0;
    sums[0] += d;
    sums[1] += d * (static_cast<double>(to_float(x[i])) - static_cast<double>(g.mean[c]));
  });
}

RESNET_WORD void norm_gradient_table(const NormGradientTableArgs& g) {
  const std::int64_t c = static_cast<std::int64_t>(block()) * kThreads + thread();
  if (c >= g.c) return;
  const double sum = merged(g.parts + c, g.shares, 2 * g.c);
  const double product = merged(g.parts + g.c + c, g.shares, 2 * g.c);
  const auto inv_std = static_cast<double>(g.inv_std[c]);
  const double scale = inv_std * static_cast<double>(g.gamma[c]), rows = static_cast<double>(g.rows);
  g.dgamma[c] = static_cast<float>(product * inv_std);
  g.dbeta[c] = static_cast<float>(sum);
  g.table[c] = g.mean[c];
  g.table[g.c + c] = static_cast<float>(scale);
  g.table[2 * g.c + c] = static_cast<float>(-scale * inv_std * inv_std * product / rows);
  g.table[3 * g.c + c] = static_cast<float>(-scale * sum / rows);
}

/// Eight neighbours of dz, of which those count that the gate lets pass.
template <class T, GateKind kGate>
RESNET_WORD Eight gated_eight(const T* dz, const void* gate, std::int64_t first) {
  Eight d = load_eight(dz + first);
  if constexpr (kGate == GateKind::value) {
    const Eight z = load_eight(static_cast<const T*>(gate) + first);
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) d.v[k] = z.v[k] <= 0.0F ? 0.0F : d.v[k];
  }
  if constexpr (kGate == GateKind::mask) {
    const unsigned bits = static_cast<const std::uint8_t*>(gate)[first / 8];
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) d.v[k] = (bits >> static_cast<unsigned>(k) & 1U) == 0 ? 0.0F : d.v[k];
  }
  return d;
}

/// dx may be x or dz, dresidual dz. A thread takes eight neighbours at a time.
template <class T, GateKind kGate>
RESNET_WORD void norm_gradient_apply(const NormGradientApplyArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  const auto* dz = static_cast<const T*>(g.dz);
  auto* dx = static_cast<T*>(g.dx);
  auto* dresidual = static_cast<T*>(g.dresidual);
  const bool whole = g.c % 8 == 0;
  const std::int64_t elements = g.rows * g.c;
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads;
  for (std::int64_t e = static_cast<std::int64_t>(block()) * kThreads + thread(); e * 8 < elements;
       e += stride) {
    const std::int64_t first = e * 8;
    std::int64_t c = first % g.c;
    if (whole) {
      const Eight mean = load_eight(g.table + c), of_dz = load_eight(g.table + g.c + c);
      const Eight of_x = load_eight(g.table + 2 * g.c + c), offset = load_eight(g.table + 3 * g.c + c);
      const Eight d = gated_eight<T, kGate>(dz, g.gate, first);
      Eight v = load_eight(x + first);
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k)
        v.v[k] = d.v[k] * of_dz.v[k] + ((v.v[k] - mean.v[k]) * of_x.v[k] + offset.v[k]);
      if (dresidual != nullptr) store_eight(dresidual + first, d);
      store_eight(dx + first, v);
      continue;
    }
    for (std::int64_t i = first; i < first + 8 && i < elements; ++i) {
      const float d = passes<T, kGate>(g.gate, i) ? to_float(dz[i]) : 0.0F;
      const float v = d * g.table[g.c + c] +
                      ((to_float(x[i]) - g.table[c]) * g.table[2 * g.c + c] + g.table[3 * g.c + c]);
      if (dresidual != nullptr) dresidual[i] = rounded<T>(d);
      dx[i] = rounded<T>(v);
      c = c + 1 == g.c ? 0 : c + 1;
    }
  }
}

}  // namespace resnet::device
