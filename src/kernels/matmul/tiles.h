// The tile of the convolutions' outer products. For the vector part of a *_simd.cpp file; like
// kernels/simd/lanes.h, which it includes, it is read once a target and has no guard.
#include <algorithm>
#include <cstdint>

#include "kernels/matmul/matmul_simd.h"
#include "kernels/simd/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace resnet::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr D d;
constexpr std::int64_t kLanes = static_cast<std::int64_t>(HWY_LANES(float));

// The tile lives in registers: 6 x 2 sums + 2 of the panel + 1 broadcast of 16 (AVX2), or 6 x 4 + 4
// + 1 of 32 (AVX-512). Twelve sums and more hide the latency of two fused multiply-adds a cycle.
constexpr int kVectors = HWY_TARGET == HWY_AVX2 ? 2 : 4;
constexpr std::int64_t kPanel = kVectors * kLanes;

// As few tiles as possible, as equal as possible: 13 rows are 5 + 4 + 4, not 6 + 6 + 1.
class Tiling {
 public:
  explicit Tiling(std::int64_t rows)
      : number_((rows + kTileRows - 1) / kTileRows),
        each_(number_ > 0 ? rows / number_ : 0),
        larger_(number_ > 0 ? rows % number_ : 0) {}
  std::int64_t number() const { return number_; }
  std::int64_t begin(std::int64_t tile) const { return tile * each_ + std::min(tile, larger_); }
  std::int64_t size(std::int64_t tile) const { return each_ + (tile < larger_ ? 1 : 0); }

 private:
  std::int64_t number_, each_, larger_;
};

// What a word holds.
struct Floats {
  static constexpr int kStep = 1;
  static HWY_INLINE V mul_add(V a, V b, V sum) { return hn::MulAdd(a, b, sum); }
};
#if RESNET_BF16_TARGET
struct Pairs {
  static constexpr int kStep = 2;
  static HWY_INLINE V mul_add(V a, V b, V sum) { return add_pair_products(sum, a, b); }
};
#endif

template <int R, int N>
HWY_INLINE void clear(V (&acc)[R][N]) {
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) acc[r][v] = hn::Zero(d);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace resnet::kernels
HWY_AFTER_NAMESPACE();
