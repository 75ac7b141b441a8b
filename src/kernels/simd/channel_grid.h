// How a sweep over [rows][channels] is cut into chunks, and how it is read with whole vectors for any
// number of channels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "kernels/simd/chunk_sums.h"

namespace resnet::kernels {

/// The matrix is taken as one row of rows * channels elements. A `period` is a whole number of rows and
/// of 64-byte vectors: per-channel numbers repeated to one period line up with vectors wherever a
/// period begins, be it 3 channels or 64. Chunks are whole periods, but for the last.
class ChannelGrid {
 public:
  ChannelGrid(std::int64_t rows, std::int64_t channels) : channels_(channels), elements_(rows * channels) {
    period_ = std::lcm(channels, kLanes);
    period_ *= (kShortestPeriod + period_ - 1) / period_;
    // At least 64 KiB, at most 256 KiB where that still leaves 512 chunks, and 32 periods, that what is
    // kept of a chunk is little beside the chunk.
    std::int64_t chunk = std::clamp<std::int64_t>(elements_ / 512, 16 * 1024, 64 * 1024);
    chunk = std::max(chunk, 32 * period_);
    chunk_ = (chunk + period_ - 1) / period_ * period_;
  }

  std::int64_t channels() const noexcept { return channels_; }
  std::int64_t elements() const noexcept { return elements_; }
  std::int64_t period() const noexcept { return period_; }
  std::int64_t chunks() const noexcept { return (elements_ + chunk_ - 1) / chunk_; }
  /// First element of a chunk, and how many it has.
  std::int64_t begin(std::int64_t chunk) const noexcept { return chunk * chunk_; }
  std::int64_t count(std::int64_t chunk) const noexcept { return std::min(chunk_, elements_ - begin(chunk)); }
  std::int64_t rows(std::int64_t chunk) const noexcept { return count(chunk) / channels_; }

  /// Where sums of chunks are kept.
  ChunkSums sums(int kinds) const { return {channels_, chunks(), kinds}; }
  /// Stores what a sweep summed up at each place of the period, places of one channel added together.
  void store_sums(float* places, const ChunkSums& layout, float* sums, std::int64_t chunk,
                  int which) const noexcept {
    for (std::int64_t i = 0; i < channels_ && period_ > channels_; ++i) {
      double sum = 0;
      for (std::int64_t repeat = 0; repeat < period_; repeat += channels_) sum += double{places[i + repeat]};
      places[i] = static_cast<float>(sum);
    }
    layout.store(places, sums, chunk, which);
  }
  /// Repeats the per-channel numbers at the start of `table` to a whole period.
  void repeat(float* table) const noexcept {
    for (std::int64_t j = channels_; j < period_; ++j) table[j] = table[j - channels_];
  }

 private:
  static constexpr std::int64_t kLanes = ChunkSums::kLanes;
  // Sums over one period live in memory between periods: with 8 vectors of AVX2 or more, the time from
  // a store to its load is hidden.
  static constexpr std::int64_t kShortestPeriod = 64;

  std::int64_t channels_;
  std::int64_t elements_;
  std::int64_t period_ = 0;
  std::int64_t chunk_ = 0;
};

}  // namespace resnet::kernels
