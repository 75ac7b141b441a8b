// What a device can do at most: products on registers alone.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

/// Each sum becomes 2 * sum + 1 sixteen times in a turn; every fourth turn it begins anew, so that it stays
/// finite: by a product with zero, of which the compiler does not know that what was before is lost. Four
/// turns are one stretch of code, so that next to nothing but products is measured.
RESNET_WORD void peak_ffma(const PeakArgs& g) {
  const auto two = static_cast<float>(g.turns > 0 ? 2 : 0), zero = static_cast<float>(g.turns > 0 ? 0 : 2);
  float sums[kPeakSums] = {};
  const auto take_turn = [&](float first) {
    RESNET_UNROLL
    for (int k = 0; k < 16; ++k) {
      RESNET_UNROLL
      for (float& sum : sums) sum = fmaf(sum, k == 0 ? first : two, 1.0F);
    }
  };
  int left = g.turns;
  RESNET_NO_UNROLL
  for (; left >= 4; left -= 4) {
    take_turn(zero);
    RESNET_UNROLL
    for (int turn = 1; turn < 4; ++turn) take_turn(two);
  }
  float first = zero;
  RESNET_NO_UNROLL
  for (; left > 0; --left, first = two) take_turn(first);
  float all = 0.0F;
  RESNET_UNROLL
  for (const float sum : sums) all += sum;
  g.y[block() * kThreads + thread()] = all;
}

/// Tiles of 16x8 that each become larger by the products of ones: 16 (tf32: 8) in every turn.
template <bool kBf16>
RESNET_WORD void peak_tensor(const PeakArgs& g) {
  constexpr std::uint32_t kOne = kBf16 ? 0x3f803f80U : 0x3f800000U;  // two bf16, or one tf32
  const std::uint32_t one = g.turns > 0 ? kOne : 0U;
  const std::uint32_t rows[4] = {one, one, one, one};
  float sums[kPeakSums][4] = {};
  for (int turn = 0; turn < g.turns; ++turn) {
    RESNET_UNROLL
    for (auto& sum : sums) {
      if constexpr (kBf16) {
        mma_bf16(sum, rows, one, one);
      } else {
        mma_tf32(sum, rows, one, one);
      }
    }
  }
  float all = 0.0F;
  RESNET_UNROLL
  for (const auto& sum : sums) all += sum[0] + sum[1] + sum[2] + sum[3];
  g.y[block() * kThreads + thread()] = all;
}

}  // namespace resnet::device
