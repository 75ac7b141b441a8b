// The tiles of a product in shared memory and the ways to multiply them: FFMA, tf32 and bf16 tensor cores. A
// block has 64 rows and 64 columns, each thread 32 of their sums in registers.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

inline constexpr int kTile = kGemmTile;
inline constexpr int kSums = 32;  // of a thread: kTile * kTile / kGemmThreads

/// How a tile [kTile][depth] of an operand lies: with the depth innermost, or with the rows (columns).
enum class Inner : int { depth, row };

/// A tile of T. Depth innermost: a row is four chunks of 16 bytes, which pairs of rows turn so that neither
/// ldmatrix (eight rows, one chunk) nor stores (two rows, all chunks) have bank conflicts. Rows innermost: a
/// pitch of nine chunks (bf16).
template <class T, Inner kInner>
struct Tile {
  static constexpr Inner kOrder = kInner;
  static constexpr int kDepth = gemm_depth(sizeof(T));
  static constexpr int kInnerExtent = kInner == Inner::depth ? kDepth : kTile;
  static constexpr int kBytes = gemm_tile_bytes(sizeof(T), kInner == Inner::depth);
  RESNET_WORD static int at(int row, int k) {
    if constexpr (kInner == Inner::row) return k * kGemmPitch + row;
    constexpr unsigned kChunk = 16 / sizeof(T);
    const auto r = static_cast<unsigned>(row), of_row = static_cast<unsigned>(k);
    return row * kDepth + static_cast<int>((of_row / kChunk ^ r / 2 % 4) * kChunk + of_row % kChunk);
  }
};

/// Exact products in f32: a thread has rows thread / 16 + 8 i and columns thread % 16 + 16 j.
struct Ffma {
  using Element = float;
  static constexpr int kDepth = gemm_depth(sizeof(Element));
  static constexpr int kChunk = 4;  // neighbours of 16 bytes, loaded as one where channels allow it
  RESNET_WORD static int row(int i) { return thread() / 16 + 8 * (i / 4); }
  RESNET_WORD static int column(int i) { return thread() % 16 + 16 * (i % 4); }
  RESNET_WORD static constexpr int same_column(int i) { return i % 4; }  // the first sum that has it
  static constexpr int kNeighbours = 1;                                  // of a row, one after the other

  template <class A, class B>
  RESNET_WORD static void multiply(float (&sums)[kSums], Shared<float> a, Shared<float> b) {
    RESNET_NO_UNROLL
    for (int chunk = 0; chunk < kDepth; chunk += kChunk) {
      RESNET_UNROLL
      for (int k = chunk; k < chunk + kChunk; ++k) {
        float rows[8], columns[4];
        RESNET_UNROLL
        for (int i = 0; i < 8; ++i) rows[i] = a.load(A::at(thread() / 16 + 8 * i, k));
        RESNET_UNROLL
        for (int j = 0; j < 4; ++j) columns[j] = b.load(B::at(thread() % 16 + 16 * j, k));
        RESNET_UNROLL
        for (int i = 0; i < 8; ++i) {
          RESNET_UNROLL
          for (int j = 0; j < 4; ++j) sums[i * 4 + j] = fmaf(rows[i], columns[j], sums[i * 4 + j]);
        }
      }
    }
  }
};

/// Where the sums of tensor cores lie: four warps, each 32 rows and 32 columns, as two by four tiles of 16x8.
struct WarpSums {
  RESNET_WORD static int row(int i) {
    return thread() / kWarp / 2 * 32 + i / 16 * 16 + thread() % kWarp / 4 + i % 4 / 2 * 8;
  }
  RESNET_WORD static int column(int i) {
    return thread() / kWarp % 2 * 32 + i % 16 / 4 * 8 + thread() % 4 * 2 + i % 2;
  }
  RESNET_WORD static constexpr int same_column(int i) { return i % 16 / 4 * 4 + i % 2; }
  static constexpr int kNeighbours = 2;
  RESNET_WORD static int first_row() { return thread() / kWarp / 2 * 32; }
  RESNET_WORD static int first_column() { return thread() / kWarp % 2 * 32; }
};

/// f32 rounded to tf32 as it is read.
struct Tf32 : WarpSums {
  using Element = float;
  static constexpr int kDepth = gemm_depth(sizeof(Element));
  static constexpr int kChunk = 4;  // neighbours of 16 bytes, loaded as one where channels allow it

  template <class A, class B>
  RESNET_WORD static void multiply(float (&sums)[kSums], Shared<float> a, Shared<float> b) {
    const int lane = thread() % kWarp;
    RESNET_UNROLL
    for (int k = 0; k < kDepth; k += 8) {
      std::uint32_t rows[2][4], columns[4][2];
      RESNET_UNROLL
      for (int m = 0; m < 2; ++m) {
        const int row = first_row() + m * 16 + lane / 4;
        RESNET_UNROLL
        for (int r = 0; r < 4; ++r)
          rows[m][r] = to_tf32(a.load(A::at(row + r % 2 * 8, k + lane % 4 + r / 2 * 4)));
      }
      RESNET_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int column = first_column() + j * 8 + lane / 4;
        RESNET_UNROLL
        for (int r = 0; r < 2; ++r) columns[j][r] = to_tf32(b.load(B::at(column, k + lane % 4 + r * 4)));
      }
      RESNET_UNROLL
      for (int m = 0; m < 2; ++m) {
        RESNET_UNROLL
        for (int j = 0; j < 4; ++j) {
          float(&d)[4] = reinterpret_cast<float(&)[4]>(sums[(m * 4 + j) * 4]);
          mma_tf32(d, rows[m], columns[j][0], columns[j][1]);
        }
      }
    }
  }
};

struct Bf16Products : WarpSums {
  using Element = Bf16;
  static constexpr int kDepth = gemm_depth(sizeof(Element));
  static constexpr int kChunk = 8;

  /// Four 8x8 matrices of an operand: rows first .. +8 and +8 .. +16, of depth k .. +8 and +8 .. +16.
  /// `rows_first`: in that order the rows go first (the fragment of the left operand), else the depths.
  template <class T, Inner kInner>
  RESNET_WORD static void load(std::uint32_t (&r)[4], Shared<Bf16> tile, int first, int k, bool rows_first) {
    const int lane = thread() % kWarp, second = lane / 8 % 2, third = lane / 16;
    const int row = first + (rows_first ? second : third) * 8, depth = k + (rows_first ? third : second) * 8;
    if constexpr (kInner == Inner::depth) {
      ldmatrix(r, tile + T::at(row + lane % 8, depth));
    } else {
      ldmatrix_trans(r, tile + T::at(row, depth + lane % 8));
    }
  }

  template <class A, class B>
  RESNET_WORD static void multiply(float (&sums)[kSums], Shared<Bf16> a, Shared<Bf16> b) {
    RESNET_UNROLL
    for (int k = 0; k < kDepth; k += 16) {
      std::uint32_t rows[2][4], columns[2][4];
      RESNET_UNROLL
      for (int m = 0; m < 2; ++m) load<A, A::kOrder>(rows[m], a, first_row() + m * 16, k, true);
      RESNET_UNROLL
      for (int j = 0; j < 2; ++j) load<B, B::kOrder>(columns[j], b, first_column() + j * 16, k, false);
      RESNET_UNROLL
      for (int m = 0; m < 2; ++m) {
        RESNET_UNROLL
        for (int j = 0; j < 4; ++j) {
          float(&d)[4] = reinterpret_cast<float(&)[4]>(sums[(m * 4 + j) * 4]);
          mma_bf16(d, rows[m], columns[j / 2][j % 2 * 2], columns[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
  }
};

}  // namespace resnet::device
