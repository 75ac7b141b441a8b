// Sums over the rows of a map by channel, in double: what each block leaves of its share.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

/// The rows of a block's share.
struct Share {
  std::int64_t number, first, last;
  RESNET_WORD Share(const SumsArgs& g, std::int64_t share) : number(share) {
    const std::int64_t rows = (g.rows + g.shares - 1) / g.shares;
    first = share * rows;
    last = first + rows < g.rows ? first + rows : g.rows;
  }
};

/// Blocks: [share][32 channels], a warp a row at a time.
template <int kSums, class F>
RESNET_WORD void sum_rows_by_one(const SumsArgs& g, const F& f) {
  constexpr int kWarps = kThreads / kWarp;
  const int lane = thread() % kWarp, warp = thread() / kWarp;
  const auto groups = static_cast<int>((g.c + kWarp - 1) / kWarp);
  const Share share(g, block() / groups);
  const std::int64_t channel = static_cast<std::int64_t>(block() % groups) * kWarp + lane;
  double sums[kSums] = {};
  if (channel < g.c)
    for (std::int64_t row = share.first + warp; row < share.last; row += kWarps)
      f.one(sums, row * g.c + channel, channel);
  const Shared<double> all = shared<double>(0);
  RESNET_UNROLL
  for (int k = 0; k < kSums; ++k) all.store((k * kWarps + warp) * kWarp + lane, sums[k]);
  sync();
  if (warp < kSums && channel < g.c) {
    double sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += all.load((warp * kWarps + w) * kWarp + lane);
    g.parts[(share.number * kSums + warp) * g.c + channel] = sum;
  }
}

/// Adds a block's sums of 64 channels up, in the order of its warps, and writes the first `channels` of each
/// to `parts` [kSums][c]. Thread i has those of channels i % 8 * 8 on; `all` is memory for them that nobody
/// uses, sums_of_warps_bytes() of it.
template <int kThreadCount, int kSums>
RESNET_WORD void leave_sums(const double (&sums)[kSums][8], Shared<double> all, double* parts, std::int64_t c,
                            int channels) {
  constexpr int kWarps = kThreadCount / kWarp, kChannels = 64;
  static_assert(kSums * kChannels <= kThreadCount);
  const int lane = thread() % kWarp, warp = thread() / kWarp;
  RESNET_UNROLL
  for (int k = 0; k < kSums; ++k) {
    RESNET_UNROLL
    for (int e = 0; e < 8; ++e) {
      double v = sums[k][e];
      v += shuffle_xor(v, 8);
      v += shuffle_xor(v, 16);
      if (lane < 8) all.store((k * kWarps + warp) * kChannels + lane * 8 + e, v);
    }
  }
  sync();
  const int k = thread() / kChannels, channel = thread() % kChannels;
  if (k < kSums && channel < channels) {
    double sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += all.load((k * kWarps + w) * kChannels + channel);
    parts[k * c + channel] = sum;
  }
}

/// Blocks: [share][64 channels], a warp four rows at a time, a lane eight channels.
template <int kSums, class F>
RESNET_WORD void sum_rows_by_eight(const SumsArgs& g, const F& f) {
  constexpr int kWarps = kThreads / kWarp, kChannels = 64, kRows = 4;
  const int lane = thread() % kWarp, warp = thread() / kWarp;
  const auto groups = static_cast<int>((g.c + kChannels - 1) / kChannels);
  const Share share(g, block() / groups);
  const std::int64_t first = static_cast<std::int64_t>(block() % groups) * kChannels;
  const std::int64_t channel = first + lane % 8 * 8;
  double sums[kSums][8] = {};
  if (channel < g.c) {
    for (std::int64_t row = share.first + warp * kRows + lane / 8; row < share.last; row += kWarps * kRows)
      f.eight(sums, row * g.c + channel, channel);
  }
  leave_sums<kThreads>(sums, shared<double>(0), g.parts + share.number * kSums * g.c + first, g.c,
                       static_cast<int>(g.c - first < kChannels ? g.c - first : kChannels));
}

/// The channel of a thread where a block merges the sums of eight.
RESNET_WORD std::int64_t merged_channel() {
  return static_cast<std::int64_t>(block()) * kMergeChannels + thread() % kMergeChannels;
}

/// Sums of `count` parts [part][kSums][channels], of eight channels a block: `c` is that of thread() % 8. 32
/// threads a channel, each every 32nd part, so that loads wait beside each other. In kMergeBytes.
template <int kSums>
RESNET_WORD void merge_sums(double (&sums)[kSums], const double* parts, std::int64_t count,
                            std::int64_t channels, std::int64_t c) {
  constexpr int kSlices = kThreads / kMergeChannels;
  const Shared<double> all = shared<double>(0);
  const int slice = thread() / kMergeChannels, of = thread() % kMergeChannels;
  double mine[kSums] = {};
  const std::int64_t end = c < channels ? count : 0;
  RESNET_UNROLL_8
  for (std::int64_t part = slice; part < end; part += kSlices) {
    RESNET_UNROLL
    for (int s = 0; s < kSums; ++s) mine[s] += parts[(part * kSums + s) * channels + c];
  }
  RESNET_UNROLL
  for (int s = 0; s < kSums; ++s) all.store((s * kSlices + slice) * kMergeChannels + of, mine[s]);
  sync();
  RESNET_UNROLL
  for (int s = 0; s < kSums; ++s) {
    sums[s] = 0;
    for (int i = 0; i < kSlices; ++i) sums[s] += all.load((s * kSlices + i) * kMergeChannels + of);
  }
}

/// Sums over a block's share of the rows, by channel: f adds an element's numbers, or those of eight
/// neighbours.
template <int kSums, class F>
RESNET_WORD void sum_rows(const SumsArgs& g, const F& f) {
  if (g.c % 8 == 0) {
    sum_rows_by_eight<kSums>(g, f);
  } else {
    sum_rows_by_one<kSums>(g, f);
  }
}

}  // namespace resnet::device
