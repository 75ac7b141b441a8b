// The words that kernels of GPUs are written in. Under nvcc they are CUDA and PTX (words_cuda.h); under a
// host compiler the same kernels run in the emulator (words_host.h, src/emulator/), which checks what a GPU
// does not.
//
// A kernel is a function of one struct of arguments (args.h), called by every thread of a grid of blocks; its
// line in kernels.def names it. Grids follow from shapes alone, and there are no floating-point atomics: the
// same bits in every run.
//
//   thread(), block(), blocks()      numbers of this thread in its block, of this block in the grid
//   sync()                           barrier of the block
//   shuffle_xor(v, mask)             v of the lane whose number differs by `mask`; by whole warps
//   shared<T>(bytes)                 the block's shared memory from this byte on, as Shared<T>:
//                                    load, store, +; flipped(i), whose offset is the exclusive or
//                                    of this one and that of element i, within 128 bytes
//   copy16_async, commit, wait<N>    16 bytes to shared memory, there after the wait and a sync();
//                                    zeros where not `valid`
//   to_bf16_pair(low, high), to_tf32(v)  bits, rounded to the nearest
//   ldmatrix, ldmatrix_trans         four matrices of 8x8 16-bit elements;
//                                    lane l names row l % 8 of matrix l / 8
//   mma_bf16, mma_tf32               16x8 += 16x16 * 16x8 (16x8 * 8x8) by a warp, fragments as PTX has them
//   load_pack, store_pack            16 bytes of global memory at a multiple of 16
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#include "device/words_cuda.h"
#else
#include "device/words_host.h"
#endif

namespace resnet::device {

inline constexpr int kWarp = 32;

/// Bits of a number in bf16.
struct Bf16 {
  std::uint16_t bits;
};

RESNET_WORD float float_of_bits(std::uint32_t bits) {
  float value = 0;
  memcpy(&value, &bits, sizeof value);
  return value;
}
RESNET_WORD std::uint32_t bits_of(float value) {
  std::uint32_t bits = 0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

RESNET_WORD float to_float(float v) {
  return v;
}
RESNET_WORD float to_float(Bf16 v) {
  return float_of_bits(static_cast<std::uint32_t>(v.bits) << 16U);
}

/// Rounded to the nearest, ties to even; NaN stays NaN.
template <class T>
RESNET_WORD T rounded(float v);
template <>
RESNET_WORD float rounded<float>(float v) {
  return v;
}
template <>
RESNET_WORD Bf16 rounded<Bf16>(float v) {
  return {static_cast<std::uint16_t>(to_bf16_pair(v, 0.0F))};
}
/// Neighbours at once, of bf16 two by one instruction.
template <class T, int kCount>
RESNET_WORD void round_all(T (&to)[kCount], const float* from) {
  if constexpr (sizeof(T) == sizeof(Bf16) && kCount % 2 == 0) {
    RESNET_UNROLL
    for (int k = 0; k < kCount; k += 2) {
      const std::uint32_t pair = to_bf16_pair(from[k], from[k + 1]);
      memcpy(&to[k], &pair, sizeof pair);
    }
  } else {
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) to[k] = rounded<T>(from[k]);
  }
}

/// 16 bytes of elements.
template <class T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  T v[kCount];
};

template <class T>
RESNET_WORD Pack<T> load_pack(const T* from) {
  expect_aligned(from, 16);
  return *reinterpret_cast<const Pack<T>*>(from);
}
template <class T>
RESNET_WORD void store_pack(T* to, const Pack<T>& pack) {
  expect_aligned(to, 16);
  *reinterpret_cast<Pack<T>*>(to) = pack;
}

/// Neighbours that are loaded and stored as one.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Chunk {
  T v[kCount];
};

template <int kCount, class T>
RESNET_WORD Chunk<T, kCount> load_chunk(const T* from) {
  expect_aligned(from, sizeof(Chunk<T, kCount>));
  return *reinterpret_cast<const Chunk<T, kCount>*>(from);
}
template <class T, int kCount>
RESNET_WORD void store_chunk(T* to, const Chunk<T, kCount>& chunk) {
  expect_aligned(to, sizeof(Chunk<T, kCount>));
  *reinterpret_cast<Chunk<T, kCount>*>(to) = chunk;
}

/// Eight numbers at a multiple of 16 bytes, in f32.
struct Eight {
  float v[8];
};
template <class T>
RESNET_WORD Eight load_eight(const T* from) {
  constexpr int kCount = Pack<T>::kCount;
  Eight result;
  RESNET_UNROLL
  for (int p = 0; p < 8; p += kCount) {
    const Pack<T> pack = load_pack(from + p);
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) result.v[p + k] = to_float(pack.v[k]);
  }
  return result;
}
template <class T>
RESNET_WORD void store_eight(T* to, const Eight& eight) {
  constexpr int kCount = Pack<T>::kCount;
  RESNET_UNROLL
  for (int p = 0; p < 8; p += kCount) {
    Pack<T> pack;
    round_all(pack.v, eight.v + p);
    store_pack(to + p, pack);
  }
}

}  // namespace resnet::device
