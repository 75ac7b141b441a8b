// Statistics of results that a direct convolution has just written, or their norm.
#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/conv/norm_stats/norm_stats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/norm_stats/norm_stats_simd.cpp"
#include "kernels/simd/simd.h"

#if RESNET_VECTOR_TARGET
#include "kernels/matmul/tiles.h"
// behind the above
#include "kernels/conv/norm_stats/epilogue_lanes.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels::conv {
namespace HWY_NAMESPACE {
namespace {
using resnet::kernels::HWY_NAMESPACE::kLanes;
using resnet::kernels::HWY_NAMESPACE::kPanel;
using resnet::kernels::HWY_NAMESPACE::kVectors;
using resnet::kernels::HWY_NAMESPACE::Part;
using resnet::kernels::HWY_NAMESPACE::Whole;

constexpr std::int64_t kAhead = 8;  // rows

// N vectors from channel c on: a panel's where there are as many. Sums that are few are two each, since one
// would wait for itself.
template <class T, class Epilogue, int N, class Access>
HWY_INLINE void apply_to_columns(const StatsArgs<T>& args, T* image, const Row* rows, std::int64_t count,
                                 std::int64_t at, std::int64_t channels, const Access& access,
                                 std::int64_t c) {
  using At = typename Epilogue::template At<T, Access>;
  const auto make = [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) HWY_ATTR {
    return std::array<At, N>{At(args, channels, access, c + kIndex * kLanes)...};
  };
  std::array<At, N> epilogue = make(std::make_integer_sequence<int, N>());
  const auto take = [&]<int kOf>(std::integral_constant<int, kOf>, std::int64_t i) HWY_ATTR {
    const std::int64_t place = at + rows[i].out + c,
                       next = at + rows[std::min(i + kAhead, count - 1)].out + c;
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      Epilogue::prefetch(args, next + v * kLanes);
      T* const from = image + place + v * kLanes;
      const V taken = epilogue[v].template apply<kOf>(access.load(from), place + v * kLanes);
      if constexpr (Epilogue::kGates) access.store(taken, from);
    }
  };
  constexpr int kOdd = N > 2 ? 0 : 1;
  std::int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    take(std::integral_constant<int, 0>(), i);
    take(std::integral_constant<int, kOdd>(), i + 1);
  }
  if (i < count) take(std::integral_constant<int, 0>(), i);
  for (const At& each : epilogue) each.store();
}

template <class T, class Epilogue>
void apply_as(const StatsArgs<T>& args, T* image, const Row* rows, std::int64_t count, std::int64_t at,
              std::int64_t channels, std::int64_t begin, std::int64_t end) {
  std::int64_t c = begin;
  for (; c + kPanel <= end; c += kPanel)
    apply_to_columns<T, Epilogue, kVectors>(args, image, rows, count, at, channels, Whole(), c);
  for (; c + kLanes <= end; c += kLanes)
    apply_to_columns<T, Epilogue, 1>(args, image, rows, count, at, channels, Whole(), c);
  if (c < end) apply_to_columns<T, Epilogue, 1>(args, image, rows, count, at, channels, Part(end - c), c);
}

template <class T>
void apply(const StatsArgs<T>& args, T* image, const Row* rows, std::int64_t count, std::int64_t at,
           std::int64_t channels, std::int64_t begin, std::int64_t end) {
  if (args.what == Stats::moments)
    return apply_as<T, MomentsEpilogue>(args, image, rows, count, at, channels, begin, end);
  if (args.what == Stats::gradient_by_coefficients)
    return apply_as<T, GradientSumsEpilogue<false>>(args, image, rows, count, at, channels, begin, end);
  if (args.what == Stats::normalized) {
    return args.x != nullptr
               ? apply_as<T, Normalize<true>>(args, image, rows, count, at, channels, begin, end)
               : apply_as<T, Normalize<false>>(args, image, rows, count, at, channels, begin, end);
  }
  apply_as<T, GradientSumsEpilogue<true>>(args, image, rows, count, at, channels, begin, end);
}

}  // namespace

template <class T>
using EpilogueFunction = void (*)(const StatsArgs<T>&, T*, const Row*, std::int64_t, std::int64_t,
                                  std::int64_t, std::int64_t, std::int64_t);
const EpilogueFunction<float> kEpilogue = &apply<float>;
#if RESNET_BF16_TARGET
const EpilogueFunction<BFloat16> kEpilogueBf16 = &apply<BFloat16>;
#endif

}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels::conv
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace resnet::kernels::conv {

template <>
void apply_epilogue<float>(Isa isa, const StatsArgs<float>& args, float* image, const Row* rows,
                           std::int64_t count, std::int64_t at, std::int64_t channels, std::int64_t begin,
                           std::int64_t end) {
  RESNET_FOR_ISA(isa, kEpilogue)(args, image, rows, count, at, channels, begin, end);
}
template <>
void apply_epilogue<BFloat16>(Isa, const StatsArgs<BFloat16>& args, BFloat16* image, const Row* rows,
                              std::int64_t count, std::int64_t at, std::int64_t channels, std::int64_t begin,
                              std::int64_t end) {
  RESNET_FOR_BF16(kEpilogueBf16)(args, image, rows, count, at, channels, begin, end);
}

}  // namespace resnet::kernels::conv
#endif
