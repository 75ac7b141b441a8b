// Element by element, channel by channel, or only moved.
#pragma once

#include "device/args.h"
#include "device/kernels/philox.h"
#include "device/words.h"

namespace resnet::device {

/// y[i] = f(a[i], b[i]), 16 bytes at a time and the rest one by one; b may be absent. y may be a or b.
template <class T, bool kBoth, class F>
RESNET_WORD void sweep(const SweepArgs& g, const F& f) {
  const auto* a = static_cast<const T*>(g.a);
  const auto* b = static_cast<const T*>(g.b);
  auto* y = static_cast<T*>(g.y);
  constexpr int kCount = Pack<T>::kCount;
  const std::int64_t packs = g.elements / kCount;
  const std::int64_t first = static_cast<std::int64_t>(block()) * kThreads + thread();
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads;
  for (std::int64_t i = first; i < packs; i += stride) {
    Pack<T> v = load_pack(a + i * kCount);
    Pack<T> u = v;
    if constexpr (kBoth) u = load_pack(b + i * kCount);
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) v.v[k] = rounded<T>(f(to_float(v.v[k]), to_float(u.v[k])));
    store_pack(y + i * kCount, v);
  }
  for (std::int64_t i = packs * kCount + first; i < g.elements; i += stride)
    y[i] = rounded<T>(f(to_float(a[i]), to_float(kBoth ? b[i] : a[i])));
}

/// All threads that find something write the same 1.
RESNET_WORD void expect_finite(std::int32_t* nonfinite, float v) {
  if (v * 0.0F != 0.0F) *nonfinite = 1;
}

/// NaN stays NaN.
RESNET_WORD float relu_of(float v) {
  return v <= 0.0F ? 0.0F : v;
}

template <class T>
RESNET_WORD void relu(const SweepArgs& g) {
  sweep<T, false>(g, [](float x, float) { return relu_of(x); });
}
/// a: dy, b: y
template <class T>
RESNET_WORD void relu_gradient(const SweepArgs& g) {
  sweep<T, true>(g, [](float dy, float y) { return y <= 0.0F ? 0.0F : dy; });
}
template <class T>
RESNET_WORD void add(const SweepArgs& g) {
  sweep<T, true>(g, [](float a, float b) { return a + b; });
}
template <class T>
RESNET_WORD void mul(const SweepArgs& g) {
  sweep<T, true>(g, [](float a, float b) { return a * b; });
}

RESNET_WORD float sigmoid_of(float x) {
  return 1.0F / (1.0F + expf(-x));
}
/// The normal distribution's function, and its density.
RESNET_WORD float normal_of(float x) {
  return 0.5F * erfcf(-0.70710678F * x);
}
RESNET_WORD float density_of(float x) {
  return 0.39894228F * expf(-0.5F * x * x);
}

template <class T>
RESNET_WORD void sigmoid(const SweepArgs& g) {
  sweep<T, false>(g, [](float x, float) { return sigmoid_of(x); });
}
template <class T>
RESNET_WORD void silu(const SweepArgs& g) {
  sweep<T, false>(g, [](float x, float) { return x * sigmoid_of(x); });
}
template <class T>
RESNET_WORD void gelu(const SweepArgs& g) {
  sweep<T, false>(g, [](float x, float) { return x * normal_of(x); });
}
/// a: dy, b: x
template <class T>
RESNET_WORD void sigmoid_gradient(const SweepArgs& g) {
  sweep<T, true>(g, [](float dy, float x) {
    const float s = sigmoid_of(x);
    return dy * (s * (1.0F - s));
  });
}
template <class T>
RESNET_WORD void silu_gradient(const SweepArgs& g) {
  sweep<T, true>(g, [](float dy, float x) {
    const float s = sigmoid_of(x);
    return dy * (s + x * (s * (1.0F - s)));
  });
}
template <class T>
RESNET_WORD void gelu_gradient(const SweepArgs& g) {
  sweep<T, true>(g, [](float dy, float x) { return dy * (normal_of(x) + x * density_of(x)); });
}

/// y = x * gate.
template <class T>
RESNET_WORD void mul_gate(const GateArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  const auto* gate = static_cast<const T*>(g.gate);
  auto* y = static_cast<T*>(g.y);
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads, image = g.pixels * g.c;
  for (std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread(); i < g.n * image;
       i += stride)
    y[i] = rounded<T>(to_float(x[i]) * to_float(gate[i / image * g.c + i % g.c]));
}

/// The sum of dy * x over an image's pixels, a thread a channel. x: dy, gate: x.
template <class T>
RESNET_WORD void mul_gate_gradient(const GateArgs& g) {
  const auto* dy = static_cast<const T*>(g.x);
  const auto* x = static_cast<const T*>(g.gate);
  const std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread();
  if (i >= g.n * g.c) return;
  double sum = 0;
  const std::int64_t first = i / g.c * g.pixels * g.c + i % g.c;
  for (std::int64_t p = 0; p < g.pixels; ++p) {
    const std::int64_t at = first + p * g.c;
    sum += static_cast<double>(to_float(dy[at]) * to_float(x[at]));
  }
  static_cast<T*>(g.y)[i] = rounded<T>(static_cast<float>(sum));
}

template <class T>
RESNET_WORD void copy_channels(const ChannelsArgs& g) {
  const auto* from = static_cast<const T*>(g.from);
  auto* to = static_cast<T*>(g.to);
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread(); i < g.rows * g.c;
       i += stride) {
    const std::int64_t row = i / g.c, c = i % g.c;
    to[row * g.to_all + g.to_first + c] = from[row * g.from_all + g.from_first + c];
  }
}

/// [n][pixels][c] of T -> [n][c][pixels] in f32.
template <class T>
RESNET_WORD void flatten(const FlattenArgs& g) {
  const auto* from = static_cast<const T*>(g.from);
  auto* to = static_cast<float*>(g.to);
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads, image = g.pixels * g.c;
  for (std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread(); i < g.n * image;
       i += stride)
    to[i] = to_float(from[i / image * image + i % g.pixels * g.c + i % image / g.pixels]);
}
/// And back.
template <class T>
RESNET_WORD void unflatten(const FlattenArgs& g) {
  const auto* from = static_cast<const float*>(g.from);
  auto* to = static_cast<T*>(g.to);
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads, image = g.pixels * g.c;
  for (std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread(); i < g.n * image;
       i += stride)
    to[i] = rounded<T>(from[i / image * image + i % g.c * g.pixels + i % image / g.c]);
}

/// Kept where the random number of the element's place in the public layout is >= p; where x is not finite
/// and not kept, NaN. kPerExample: one number for all of an example.
template <class T, bool kPerExample>
RESNET_WORD void dropout(const DropoutArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  auto* y = static_cast<T*>(g.y);
  const RandomWords random(static_cast<std::uint64_t>(g.seed_step[0]),
                           dropout_stream(g.layer, g.seed_step[1]));
  const auto factor = static_cast<float>(1.0 / (1.0 - g.p));
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads, image = g.pixels * g.c;
  for (std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread(); i < g.n * image;
       i += stride) {
    const std::int64_t n = i / image, of_image = i % image;
    const std::int64_t number = kPerExample ? n : n * image + of_image % g.c * g.pixels + of_image / g.c;
    const bool kept = static_cast<double>(random.uniform(static_cast<std::uint64_t>(number))) >= g.p;
    const float v = to_float(x[i]);
    y[i] = rounded<T>(kept ? v * factor : v * 0.0F + 0.0F);
  }
}

RESNET_WORD void merge_parts(const MergeArgs& g) {
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(block()) * kThreads + thread(); i < g.elements;
       i += stride) {
    double sum = 0;
    // Loads that wait beside each other.
    RESNET_UNROLL_8
    for (std::int64_t s = 0; s < g.shares; ++s) sum += static_cast<double>(g.parts[s * g.elements + i]);
    g.sum[i] = static_cast<float>(sum);
  }
}

}  // namespace resnet::device
