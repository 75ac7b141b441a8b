// How a sweep over [rows][channels] is cut into chunks, and how it is read with whole vectors for any
// number of channels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

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

  /// Work on per-channel numbers is cut into groups of one cache line of them.
  std::int64_t groups() const noexcept { return (channels_ + kLanes - 1) / kLanes; }
  std::int64_t group_begin(std::int64_t group) const noexcept { return group * kLanes; }
  std::int64_t group_size(std::int64_t group) const noexcept {
    return std::min(kLanes, channels_ - group_begin(group));
  }

  /// Where sums of chunks are kept, `which` of `kinds`: one cache line each, the lines of a group side by
  /// side, because it is by group that they are merged.
  std::int64_t sums_at(std::int64_t group, std::int64_t chunk, int which, int kinds) const noexcept {
    return ((group * chunks() + chunk) * kinds + which) * kLanes;
  }
  std::int64_t sums_size(int kinds) const noexcept { return sums_at(groups(), 0, 0, kinds); }

  /// Stores what a sweep summed up at each place of the period, places of one channel added together.
  void store_sums(const float* places, float* sums, std::int64_t chunk, int which, int kinds) const noexcept {
    for (std::int64_t group = 0; group < groups(); ++group) {
      const float* place = places + group_begin(group);
      float* line = sums + sums_at(group, chunk, which, kinds);
      if (period_ == channels_) {
        std::copy_n(place, group_size(group), line);
        continue;
      }
      for (std::int64_t i = 0; i < group_size(group); ++i) {
        double sum = 0;
        for (std::int64_t repeat = 0; repeat < period_; repeat += channels_) sum += double{place[i + repeat]};
        line[i] = static_cast<float>(sum);
      }
    }
  }
  /// Repeats the per-channel numbers at the start of `table` to a whole period.
  void repeat(float* table) const noexcept {
    for (std::int64_t j = channels_; j < period_; ++j) table[j] = table[j - channels_];
  }

  static constexpr std::int64_t kLanes = 16;  // f32 in the longest vector

 private:
  // Sums over one period live in memory between periods: with 8 vectors of AVX2 or more, the time from
  // a store to its load is hidden.
  static constexpr std::int64_t kShortestPeriod = 64;

  std::int64_t channels_;
  std::int64_t elements_;
  std::int64_t period_ = 0;
  std::int64_t chunk_ = 0;
};

}  // namespace resnet::kernels
