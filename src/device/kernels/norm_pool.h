// A batch norm behind which a max pool chooses: the pool chooses among what the norm reads, by the sign of
// its scale, and the norm is applied to what was chosen; so neither the norm's map nor its gradient is
// stored.
#pragma once

#include "device/args.h"
#include "device/kernels/elementwise.h"
#include "device/kernels/norm.h"
#include "device/kernels/pool.h"
#include "device/words.h"

namespace resnet::device {

/// The largest scale * x of each window, the first where several are equal; a NaN takes the place of what
/// came before.
template <class T, int kCount>
RESNET_WORD void norm_pool_chunks(const NormPoolArgs& args) {
  const PoolArgs& g = args.pool;
  const auto* x = static_cast<const T*>(g.x);
  for_chunks<kCount>(g, g.ho, g.wo, [&](std::int64_t i, const Place& place) {
    float scale[kCount], best[kCount] = {}, product[kCount] = {};
    int taps[kCount] = {};
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) scale[k] = args.table[g.c + static_cast<int>(place.c) + k];
    bool first = true;
    for_window(g, place, [&](int h, int w, int tap) {
      const auto v = load_chunk<kCount>(x + at(g, place, g.h, g.w, h, w));
      RESNET_UNROLL
      for (int k = 0; k < kCount; ++k) {
        const float f = to_float(v.v[k]), p = f * scale[k];
        if (first || p > product[k] || p != p) {
          best[k] = f;
          product[k] = p;
          taps[k] = tap;
        }
      }
      first = false;
    });
    float z[kCount];
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) {
      const int c = static_cast<int>(place.c) + k;
      z[k] = normed(best[k], args.table[c], scale[k], args.table[2 * g.c + c]);
      if (args.relu != 0) z[k] = relu_of(z[k]);
    }
    store_sums<T, kCount>(g.y, i, z);
    if (g.index != nullptr) store_taps<kCount>(g, i, taps);
  });
}
template <class T>
RESNET_WORD void norm_pool(const NormPoolArgs& g) {
  by_chunks<T>(g.pool, [&]<int kCount>() { norm_pool_chunks<T, kCount>(g); });
}

/// Of the gated dz, and of dz * (x - mean), over what was chosen: the rows are those of the pooled map.
template <class T, GateKind kGate>
struct NormPoolGradientSums {
  const NormPoolGradientArgs& g;
  /// x that the window of element i of channel c chose by this tap.
  RESNET_WORD float chosen(std::int64_t i, std::int64_t c, int tap) const {
    const PoolArgs& p = g.pool;
    const auto pixel = static_cast<int>(i / p.c), row = pixel / p.wo;
    const int h = row % p.ho * p.sh - p.ph + tap / p.kw, w = pixel % p.wo * p.sw - p.pw + tap % p.kw;
    return to_float(
        static_cast<const T*>(g.sums.x)[((std::int64_t{row / p.ho} * p.h + h) * p.w + w) * p.c + c]);
  }
  RESNET_WORD void add(double (&sums)[2], float dz, std::int64_t i, std::int64_t c, int tap) const {
    const auto d = static_cast<double>(dz);
    sums[0] += d;
    sums[1] += d * (static_cast<double>(chosen(i, c, tap)) - static_cast<double>(g.sums.mean[c]));
  }
  RESNET_WORD void one(double (&sums)[2], std::int64_t i, std::int64_t c) const {
    const float dz = passes<T, kGate>(g.sums, i, c) ? to_float(static_cast<const T*>(g.sums.dz)[i]) : 0.0F;
    add(sums, dz, i, c, TapsAt<1>(g.pool, i)[0]);
  }
  RESNET_WORD void eight(double (&sums)[2][8], std::int64_t i, std::int64_t c) const {
    const Eight dz = gated_eight<T, kGate>(g.sums, i, c);
    const TapsAt<8> taps(g.pool, i);
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) {
      double of_one[2] = {sums[0][k], sums[1][k]};
      add(of_one, dz.v[k], i, c + k, taps[k]);
      sums[0][k] = of_one[0];
      sums[1][k] = of_one[1];
    }
  }
};
template <class T, GateKind kGate>
RESNET_WORD void norm_pool_gradient_sums(const NormPoolGradientArgs& g) {
  sum_rows<2>(g.sums, NormPoolGradientSums<T, kGate>{g});
}

/// dx of x and of dz of the windows that chose it, by the table [4][c].
template <class T, GateKind kGate, int kCount>
RESNET_WORD void norm_pool_gradient_chunks(const NormPoolGradientArgs& args) {
  const PoolArgs& g = args.pool;
  const auto* x = static_cast<const T*>(args.sums.x);
  const auto* dz = static_cast<const T*>(args.sums.dz);
  for_chunks<kCount>(g, g.h, g.w, [&](std::int64_t i, const Place& place) {
    float spread[kCount] = {};
    for_windows_of(g, place, [&](int oh, int ow, int tap) {
      const std::int64_t o = at(g, place, g.ho, g.wo, oh, ow);
      const auto d = load_chunk<kCount>(dz + o);
      Chunk<T, kCount> z = {};
      if constexpr (kGate == GateKind::value)
        z = load_chunk<kCount>(static_cast<const T*>(args.sums.gate) + o);
      const TapsAt<kCount> taps(g, o);
      RESNET_UNROLL
      for (int k = 0; k < kCount; ++k) {
        const bool counts = kGate == GateKind::none || !(to_float(z.v[k]) <= 0.0F);
        if (counts && taps[k] == tap) spread[k] += to_float(d.v[k]);
      }
    });
    const auto v = load_chunk<kCount>(x + i);
    float dx[kCount];
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) {
      const int c = static_cast<int>(place.c) + k;
      dx[k] = norm_gradient_of(spread[k], to_float(v.v[k]), args.table[c], args.table[g.c + c],
                               args.table[2 * g.c + c], args.table[3 * g.c + c]);
    }
    store_sums<T, kCount>(g.y, i, dx);
  });
}
template <class T, GateKind kGate>
RESNET_WORD void norm_pool_gradient_apply(const NormPoolGradientArgs& g) {
  by_chunks<T>(g.pool, [&]<int kCount>() { norm_pool_gradient_chunks<T, kGate, kCount>(g); });
}

}  // namespace resnet::device
