// What several blocks leave of one sum, and the launches that merge it, in the order of the parts.
#pragma once

#include "gpu/rules.h"

namespace resnet::gpu {

/// A gradient of weights, of shares of the pixels: parts in the workspace, unless there is one.
struct WeightParts {
  std::int64_t shares, weights;

  std::int64_t bytes() const { return shares > 1 ? shares * weights * std::int64_t{sizeof(float)} : 0; }
  /// Where the shares are written, and merges them to dw.
  float* written(const Recorder& r, float* dw) const { return shares > 1 ? r.workspace<float>() : dw; }
  void merge(Recorder& r, float* dw) const {
    if (shares > 1)
      r.launch(KernelId::merge_parts, sweep_blocks(weights),
               device::MergeArgs{r.workspace<float>(), dw, weights, shares});
  }
};

/// A kernel that merges what blocks left of sums by channel: device/kernels/sums.h, merge_sums().
template <class Args>
void launch_merge(Recorder& r, KernelId kernel, const Args& args) {
  r.launch(kernel, divided(args.c, device::kMergeChannels), args, device::kMergeBytes);
}

}  // namespace resnet::gpu
