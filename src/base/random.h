// Counter-based random numbers: a value depends on (seed, name of the stream, index) and on nothing
// else, so shuffling, initialisation and augmentation need no state to resume or to run in parallel.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x32-10).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace resnet {

/// FNV-1a, 64 bits: the number of the stream called `name`.
constexpr std::uint64_t stream_id(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

/// Ten rounds of Philox4x32.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// One stream of random numbers, addressed by index.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view name) : seed_(seed), stream_(stream_id(name)) {}
  RandomStream(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  /// Four words: a Philox block, with the key `seed` and the counter (index, stream), low halves first.
  std::array<std::uint32_t, 4> block(std::uint64_t index) const;
  /// 32 random bits: word index % 4 of block index / 4.
  std::uint32_t word(std::uint64_t index) const { return block(index / 4)[index % 4]; }

  /// Uniform in [0, 1) on a grid of 2^-24.
  float uniform(std::uint64_t index) const { return static_cast<float>(word(index) >> 8U) * 0x1p-24F; }

  /// Standard normal, by Box and Muller from words 2*index and 2*index + 1.
  double normal(std::uint64_t index) const;

  /// Uniform in [0, bound), bound >= 1, from words 2*index and 2*index + 1; its bias is below 2^-32
  /// for every bound that fits 32 bits.
  std::uint64_t below(std::uint64_t index, std::uint64_t bound) const;

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
};

}  // namespace resnet
