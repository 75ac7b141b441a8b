// A linear layer of few outputs, the last of a network, whose product by tiles would have a handful of
// blocks.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

/// y [n][co] of x [n][ci] and w [ci][co], as GemmArgs of a 1x1 map: a warp each number.
template <bool kTf32>
RESNET_WORD void linear_forward(const GemmArgs& g) {
  const auto factor = [](float v) { return kTf32 ? float_of_bits(to_tf32(v)) : v; };
  const std::int64_t number = std::int64_t{block()} * kLinearResults + thread() / kWarp;
  const std::int64_t row = number / g.co, c = number % g.co;
  if (row >= g.n) return;
  const int lane = thread() % kWarp;
  const float* const x = static_cast<const float*>(g.a) + row * g.ci;
  const float* const w = static_cast<const float*>(g.b) + c;
  float sum = 0;
  for (int k = lane; k < g.ci; k += kWarp) sum = fmaf(factor(x[k]), factor(w[std::int64_t{k} * g.co]), sum);
  for (int mask = kWarp / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  if (lane == 0) static_cast<float*>(g.y)[number] = sum + (g.bias != nullptr ? g.bias[c] : 0.0F);
}

}  // namespace resnet::device
