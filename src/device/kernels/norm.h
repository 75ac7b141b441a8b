// Batch normalisation. Statistics are summed in double: the sums of the squares of f32 lose nothing there, so
// that no shift is needed (mean of 1000 deviations: 1e-10 of the variance).
#pragma once

#include "device/args.h"
#include "device/kernels/elementwise.h"
#include "device/kernels/sums.h"
#include "device/words.h"

namespace resnet::device {

/// Adds eight numbers, and where there are two sums their squares.
template <int kSums>
RESNET_WORD void add_moments(double (&sums)[kSums][8], const Eight& v) {
  RESNET_UNROLL
  for (int e = 0; e < 8; ++e) {
    const auto d = static_cast<double>(v.v[e]);
    sums[0][e] += d;
    if constexpr (kSums > 1) sums[1][e] += d * d;
  }
}

/// Of x, and where kSquares of its squares.
template <class T, bool kSquares>
struct MomentSums {
  const T* x;
  static constexpr int kSums = kSquares ? 2 : 1;
  RESNET_WORD void one(double (&sums)[kSums], std::int64_t i, std::int64_t) const {
    const auto v = static_cast<double>(to_float(x[i]));
    sums[0] += v;
    if constexpr (kSquares) sums[1] += v * v;
  }
  RESNET_WORD void eight(double (&sums)[kSums][8], std::int64_t i, std::int64_t) const {
    add_moments(sums, load_eight(x + i));
  }
};

template <class T>
RESNET_WORD void channel_sums(const SumsArgs& g) {
  sum_rows<1>(g, MomentSums<T, false>{static_cast<const T*>(g.x)});
}

RESNET_WORD void channel_sum_merge(const ChannelSumArgs& g) {
  const std::int64_t c = merged_channel();
  double sums[1];
  merge_sums(sums, g.parts, g.shares, g.c, c);
  if (thread() < kMergeChannels && c < g.c) g.sum[c] = static_cast<float>(sums[0]);
}

template <class T>
RESNET_WORD void norm_moments(const SumsArgs& g) {
  sum_rows<2>(g, MomentSums<T, true>{static_cast<const T*>(g.x)});
}

/// Of sums over so many rows.
struct Moments {
  double mean, variance;
  RESNET_WORD Moments(double sum, double squares, std::int64_t rows)
      : mean(sum / static_cast<double>(rows)), variance(squares / static_cast<double>(rows) - mean * mean) {
    if (variance < 0) variance = 0;  // NaN stays
  }
};

/// Eight channels a block.
RESNET_WORD void norm_table(const NormTableArgs& g) {
  const std::int64_t c = merged_channel();
  double sums[2] = {};
  if (g.parts != nullptr) merge_sums(sums, g.parts, g.shares, g.c, c);
  if (thread() >= kMergeChannels || c >= g.c) return;
  double mean = 0, variance = 0;
  if (g.moments != nullptr) {
    mean = static_cast<double>(g.moments[c]) + static_cast<double>(g.moments[g.c + c]);
    variance = static_cast<double>(g.moments[2 * g.c + c]);
  } else if (g.parts == nullptr) {
    mean = static_cast<double>(g.running_mean[c]);
    variance = static_cast<double>(g.running_var[c]);
  } else {
    const Moments moments(sums[0], sums[1], g.rows);
    mean = moments.mean;
    variance = moments.variance;
  }
  const double inv_std = 1.0 / sqrt(variance + g.eps);
  if (g.mean != nullptr) {
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

/// What a norm makes of x.
RESNET_WORD float normed(float x, float mean, float scale, float offset) {
  return (x - mean) * scale + offset;
}

/// Eight channels of a norm's table [3][channels].
struct NormEight {
  Eight mean = {}, scale = {}, offset = {};
  NormEight() = default;
  RESNET_WORD NormEight(const float* table, std::int64_t channels, std::int64_t c)
      : mean(load_eight(table + c)),
        scale(load_eight(table + channels + c)),
        offset(load_eight(table + 2 * channels + c)) {}
  RESNET_WORD float of(int k, float x) const { return normed(x, mean.v[k], scale.v[k], offset.v[k]); }
};

/// z of one element, before it is rounded.
RESNET_WORD float finished(const NormApplyArgs& g, float normed, float residual) {
  const float v = normed + residual;
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
      const NormEight norm(g.table, g.c, c);
      Eight v = load_eight(x + first), r = {};
      if (residual != nullptr) r = load_eight(residual + first);
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k) {
        v.v[k] = finished(g, norm.of(k, v.v[k]), r.v[k]);
        bits |= (v.v[k] <= 0.0F ? 0U : 1U) << static_cast<unsigned>(k);
      }
      store_eight(z + first, v);
    } else {
      for (std::int64_t i = first; i < first + 8 && i < elements; ++i) {
        const float r = residual != nullptr ? to_float(residual[i]) : 0.0F;
        const float v =
            finished(g, normed(to_float(x[i]), g.table[c], g.table[g.c + c], g.table[2 * g.c + c]), r);
        z[i] = rounded<T>(v);
        bits |= (v <= 0.0F ? 0U : 1U) << static_cast<unsigned>(i - first);
        c = c + 1 == g.c ? 0 : c + 1;
      }
    }
    if (g.mask != nullptr) g.mask[e] = static_cast<std::uint8_t>(bits);
  }
}

/// How a ReLU's gradient is gated: not at all, by the values behind it, by its mask, or by what the norm's
/// table [3][c] makes of x.
enum class GateKind : int { none, value, mask, table };

/// Whether element i counts, of channel c.
template <class T, GateKind kGate, class Args>
RESNET_WORD bool passes(const Args& g, std::int64_t i, std::int64_t c) {
  if constexpr (kGate == GateKind::value) return !(to_float(static_cast<const T*>(g.gate)[i]) <= 0.0F);
  if constexpr (kGate == GateKind::mask)
    return (static_cast<const std::uint8_t*>(g.gate)[i / 8] >> static_cast<unsigned>(i % 8) & 1U) != 0;
  if constexpr (kGate == GateKind::table) {
    const auto* table = static_cast<const float*>(g.gate);
    const float x = to_float(static_cast<const T*>(g.x)[i]);
    return !(normed(x, table[c], table[g.c + c], table[2 * g.c + c]) <= 0.0F);
  }
  return true;
}

/// A bit for each of eight x that a norm's ReLU lets pass.
RESNET_WORD unsigned bits_of_table(const NormEight& norm, const Eight& x) {
  unsigned bits = 0;
  RESNET_UNROLL
  for (int k = 0; k < 8; ++k) bits |= (norm.of(k, x.v[k]) <= 0.0F ? 0U : 1U) << static_cast<unsigned>(k);
  return bits;
}
/// Those whose bit is set, else zero.
RESNET_WORD Eight passing(Eight v, unsigned bits) {
  RESNET_UNROLL
  for (int k = 0; k < 8; ++k) v.v[k] = (bits >> static_cast<unsigned>(k) & 1U) == 0 ? 0.0F : v.v[k];
  return v;
}

/// Eight neighbours of dz from channel c on, of which those count that the gate lets pass.
template <class T, GateKind kGate, class Args>
RESNET_WORD Eight gated_eight(const Args& g, std::int64_t first, std::int64_t c) {
  Eight d = load_eight(static_cast<const T*>(g.dz) + first);
  if constexpr (kGate == GateKind::table)
    return passing(d, bits_of_table(NormEight(static_cast<const float*>(g.gate), g.c, c),
                                    load_eight(static_cast<const T*>(g.x) + first)));
  if constexpr (kGate == GateKind::value) {
    const Eight z = load_eight(static_cast<const T*>(g.gate) + first);
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) d.v[k] = z.v[k] <= 0.0F ? 0.0F : d.v[k];
  }
  if constexpr (kGate == GateKind::mask)
    return passing(d, static_cast<const std::uint8_t*>(g.gate)[first / 8]);
  return d;
}

/// Adds eight dz, and dz * (x - mean).
RESNET_WORD void add_gradient_sums(double (&sums)[2][8], const Eight& dz, const Eight& x, const Eight& mean) {
  RESNET_UNROLL
  for (int e = 0; e < 8; ++e) {
    const auto d = static_cast<double>(dz.v[e]);
    sums[0][e] += d;
    sums[1][e] += d * (static_cast<double>(x.v[e]) - static_cast<double>(mean.v[e]));
  }
}

/// Of the gated dz, and of dz * (x - mean).
template <class T, GateKind kGate>
struct GradientSums {
  const SumsArgs& g;
  RESNET_WORD void one(double (&sums)[2], std::int64_t i, std::int64_t c) const {
    const double d =
        passes<T, kGate>(g, i, c) ? static_cast<double>(to_float(static_cast<const T*>(g.dz)[i])) : 0.0;
    sums[0] += d;
    sums[1] +=
        d * (static_cast<double>(to_float(static_cast<const T*>(g.x)[i])) - static_cast<double>(g.mean[c]));
  }
  RESNET_WORD void eight(double (&sums)[2][8], std::int64_t i, std::int64_t c) const {
    const Eight d = gated_eight<T, kGate>(g, i, c);
    add_gradient_sums(sums, d, load_eight(static_cast<const T*>(g.x) + i), load_eight(g.mean + c));
  }
};

template <class T, GateKind kGate>
RESNET_WORD void norm_gradient_sums(const SumsArgs& g) {
  sum_rows<2>(g, GradientSums<T, kGate>{g});
}

RESNET_WORD void norm_gradient_table(const NormGradientTableArgs& g) {
  const std::int64_t c = merged_channel();
  double sums[2] = {};
  const bool given = g.sums != nullptr;
  if (!given) merge_sums(sums, g.parts, g.shares, g.c, c);
  if (thread() >= kMergeChannels || c >= g.c) return;
  const double sum = given ? static_cast<double>(g.sums[c]) : sums[0];
  const double product = given ? static_cast<double>(g.sums[g.c + c]) : sums[1];
  const auto inv_std = static_cast<double>(g.inv_std[c]);
  const double scale = inv_std * static_cast<double>(g.gamma[c]), rows = static_cast<double>(g.rows);
  g.dgamma[c] = static_cast<float>(product * inv_std);
  g.dbeta[c] = static_cast<float>(sum);
  g.table[c] = g.mean[c];
  g.table[g.c + c] = static_cast<float>(scale);
  g.table[2 * g.c + c] = static_cast<float>(-scale * inv_std * inv_std * product / rows);
  g.table[3 * g.c + c] = static_cast<float>(-scale * sum / rows);
}

/// A norm's gradient, of its dz and x.
RESNET_WORD float norm_gradient_of(float dz, float x, float mean, float of_dz, float of_x, float offset) {
  return dz * of_dz + ((x - mean) * of_x + offset);
}

/// Eight channels of the table [4][channels].
struct NormGradientEight {
  Eight mean, of_dz, of_x, offset;
  RESNET_WORD NormGradientEight(const float* table, std::int64_t channels, std::int64_t c)
      : mean(load_eight(table + c)),
        of_dz(load_eight(table + channels + c)),
        of_x(load_eight(table + 2 * channels + c)),
        offset(load_eight(table + 3 * channels + c)) {}
  RESNET_WORD float of(int k, float dz, float x) const {
    return norm_gradient_of(dz, x, mean.v[k], of_dz.v[k], of_x.v[k], offset.v[k]);
  }
};

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
      const NormGradientEight norm(g.table, g.c, c);
      const Eight d = gated_eight<T, kGate>(g, first, c);
      Eight v = load_eight(x + first);
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k) v.v[k] = norm.of(k, d.v[k], v.v[k]);
      if (dresidual != nullptr) store_eight(dresidual + first, d);
      store_eight(dx + first, v);
      continue;
    }
    for (std::int64_t i = first; i < first + 8 && i < elements; ++i) {
      const float d = passes<T, kGate>(g, i, c) ? to_float(dz[i]) : 0.0F;
      const float v = norm_gradient_of(d, to_float(x[i]), g.table[c], g.table[g.c + c], g.table[2 * g.c + c],
                                       g.table[3 * g.c + c]);
      if (dresidual != nullptr) dresidual[i] = rounded<T>(d);
      dx[i] = rounded<T>(v);
      c = c + 1 == g.c ? 0 : c + 1;
    }
  }
}

}  // namespace resnet::device
