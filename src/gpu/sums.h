// Sums over the rows of a map, by channel: how they are spread over blocks.
#pragma once

#include <string>

#include "base/text.h"
#include "gpu/rules.h"

namespace resnet::gpu {

struct RowSums {
  std::int64_t rows, c, sums;  // `sums` of each channel
  std::int64_t shares;         // of the rows, each with parts of its own

  RowSums(std::int64_t row_count, std::int64_t channels, std::int64_t sum_count)
      : rows(row_count), c(channels), sums(sum_count), shares(share_count()) {}

  std::int64_t bytes() const { return shares * sums * c * std::int64_t{sizeof(double)}; }
  std::int64_t groups() const { return divided(c, c % kEight == 0 ? 8 * kEight : kLanes); }
  std::string reason() const {
    return "sums in double, " + counted(shares, "share", "shares") + " of the rows";
  }
  /// With the parts at the front of the workspace.
  device::SumsArgs args(const Recorder& r, device::SumsArgs maps) const {
    maps.parts = r.workspace<double>();
    maps.rows = rows;
    maps.c = c;
    maps.shares = shares;
    return maps;
  }
  /// `args`: SumsArgs, or what holds them.
  template <class Args>
  void launch(Recorder& r, KernelId kernel, const Args& args) const {
    const std::int64_t of_thread = c % kEight == 0 ? 2 : 1;  // numbers that a thread leaves of each sum
    r.launch(kernel, shares * groups(), args,
             device::kThreads * of_thread * sums * std::int64_t{sizeof(double)});
  }

 private:
  // Eight channels of a row a lane where there are whole eights, else one.
  static constexpr std::int64_t kLanes = 32, kLeastRows = 64;
  static constexpr std::int64_t kBlocks = 4 * 132;  // enough to fill a card of 132 multiprocessors

  std::int64_t share_count() const {
    return std::clamp(std::min(divided(rows, kLeastRows), kBlocks / groups()), std::int64_t{1}, kBlocks);
  }
};

}  // namespace resnet::gpu
