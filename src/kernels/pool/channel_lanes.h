// Sweeps over the channels of a pixel. As kernels/simd/lanes.h, which it includes: for the vector part of a
// *_simd.cpp file, read once a target, without a guard.
#include <cstdint>
#include <vector>

#include "kernels/pool/pool_simd.h"
#include "kernels/simd/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
using Index = std::int64_t;

HWY_INLINE const Range& at(const std::vector<Range>& ranges, Index i) {
  return ranges[static_cast<std::size_t>(i)];
}

/// Calls op.run<K>(access, channel) for all channels, K vectors side by side.
template <class Op>
HWY_INLINE void for_channels(const Op& op, Index channels) {
  Index i = 0;
  for (; i + 4 * lanes() <= channels; i += 4 * lanes()) op.template run<4>(Whole(), i);
  for (; i + lanes() <= channels; i += lanes()) op.template run<1>(Whole(), i);
  if (i < channels) op.template run<1>(Part(channels - i), i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
