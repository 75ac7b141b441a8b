// The random numbers of base/random.h and of dropout (kernels/elementwise/dropout_stream.h), bit for bit.
#pragma once

#include <cstdint>

#include "device/words.h"

namespace resnet::device {

/// The number of the stream of (layer, step).
RESNET_WORD std::uint64_t dropout_stream(std::uint64_t layer, std::int64_t step) {
  std::uint64_t mixed = layer ^ (static_cast<std::uint64_t>(step) * 0x9E3779B97F4A7C15ULL);
  mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31U);
}

class RandomWords {
 public:
  RESNET_WORD RandomWords(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  /// Philox4x32-10 of block index / 4, word index % 4.
  RESNET_WORD std::uint32_t word(std::uint64_t index) const {
    const std::uint64_t of_four = index / 4;
    std::uint32_t c0 = low(of_four), c1 = high(of_four), c2 = low(stream_), c3 = high(stream_);
    std::uint32_t k0 = low(seed_), k1 = high(seed_);
    RESNET_UNROLL
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0, p1 = std::uint64_t{0xCD9E8D57U} * c2;
      c0 = high(p1) ^ c1 ^ k0;
      c1 = low(p1);
      c2 = high(p0) ^ c3 ^ k1;
      c3 = low(p0);
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    const std::uint64_t i = index % 4;
    return i == 0 ? c0 : i == 1 ? c1 : i == 2 ? c2 : c3;
  }
  /// In [0, 1) on a grid of 2^-24.
  RESNET_WORD float uniform(std::uint64_t index) const {
    return static_cast<float>(word(index) >> 8U) * 0x1p-24F;
  }

 private:
  RESNET_WORD static std::uint32_t low(std::uint64_t v) { return static_cast<std::uint32_t>(v); }
  RESNET_WORD static std::uint32_t high(std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32U); }

  std::uint64_t seed_, stream_;
};

}  // namespace resnet::device
