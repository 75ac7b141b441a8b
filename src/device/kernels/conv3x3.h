// Convolutions of 3x3, stride 1, padding 1, forward and to their input, in bf16, with the parts of batch
// norms beside them. A block has 144 pixels (4x6x6, 16x3x3 or a fourth of 24x24: few tiles are left over) and
// 64 or 128 outputs.
//
// Pixels are numbered through all images, so that the input of a tile is one stretch of pixels, a row and a
// pixel longer at each end, whatever the maps' size: it is copied to shared memory once for all nine taps,
// which read it at an offset each, and a row of zeros where they reach over an edge.
#pragma once

#include "device/args.h"
#include "device/kernels/gemm.h"
#include "device/kernels/norm.h"
#include "device/kernels/sums.h"
#include "device/words.h"

namespace resnet::device {

using Chunk8 = Chunk<Bf16, 8>;

/// The element of a tile [rows][64] where a row's chunk of eight channels lies: rows turn their chunks, so
/// that neither eight rows of one chunk (ldmatrix) nor a row's chunks (copies) have bank conflicts.
RESNET_WORD int chunk_at(int row, int chunk) {
  return row * kConvChannels + (chunk ^ static_cast<int>(static_cast<unsigned>(row) % 8U)) * 8;
}

/// Where in its row an element of a tile lies.
RESNET_WORD int in_row(int at) {
  return static_cast<int>(static_cast<unsigned>(at) % unsigned{kConvChannels});
}

/// A bit for each tap that meets the map where it is centred on this pixel; none beyond the last pixel.
RESNET_WORD unsigned taps_inside(int pixel, int pixels, int h, int w) {
  if (pixel >= pixels) return 0;
  const int row = pixel / w % h, column = pixel % w;
  const unsigned across = (column > 0 ? 1U : 0U) | 2U | (column + 1 < w ? 4U : 0U);
  return (row > 0 ? across : 0U) | across << 3U | (row + 1 < h ? across << 6U : 0U);
}

/// Copies rows [from, to) of a tile: pixels from `first` on, 64 channels of each; zeros where there is none.
template <int kThreadCount>
RESNET_WORD void copy_pixels(Shared<Bf16> tile, const void* map, int first, int pixels, int channels,
                             int channel, int from, int to) {
  constexpr int kRows = kThreadCount / 8;  // that are copied at once
  static_assert(kRows % 8 == 0);           // a row's chunks are turned as those of the next one are
  const auto* x = static_cast<const Bf16*>(map);
  const int chunk = thread() % 8, begin = from + thread() / 8;
  Shared<Bf16> at = tile + chunk_at(begin, chunk);
  std::int64_t element = std::int64_t{first + begin} * channels + channel + chunk * 8;
  // Registers are for sums.
  RESNET_NO_UNROLL
  for (int row = begin; row < to; row += kRows) {
    const bool valid = static_cast<unsigned>(first + row) < static_cast<unsigned>(pixels);
    copy16_async(at, x + (valid ? element : 0), valid);
    at = at + kRows * kConvChannels;
    element += std::int64_t{kRows} * channels;
  }
}

RESNET_WORD Eight eight_of(const Chunk8& chunk) {
  Eight result;
  RESNET_UNROLL
  for (int k = 0; k < 8; ++k) result.v[k] = to_float(chunk.v[k]);
  return result;
}
RESNET_WORD Chunk8 chunk_of(const Eight& eight) {
  Chunk8 result;
  round_all(result.v, eight.v);
  return result;
}

/// What a norm makes of a tile's rows, in place. `table` [3][channels]: mean, scale, offset.
template <int kThreadCount>
RESNET_WORD void normalize_pixels(Shared<Bf16> tile, int rows, const float* table, int channels, int channel,
                                  bool relu) {
  const int chunk = thread() % 8, c = channel + chunk * 8;
  const NormEight norm(table, channels, c);
  Shared<Chunk8> at = (tile + chunk_at(thread() / 8, chunk)).template as<Chunk8>();
  RESNET_NO_UNROLL
  for (int row = thread() / 8; row < rows; row += kThreadCount / 8, at = at + kThreadCount) {
    Eight x = eight_of(at.load(0));
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) {
      x.v[k] = norm.of(k, x.v[k]);
      if (relu) x.v[k] = relu_of(x.v[k]);
    }
    at.store(0, chunk_of(x));
  }
}

/// The products of a block: where its operands lie, and the sums of its warps, three by two of them, each 48
/// pixels by half of the outputs.
template <Pass kPass, int kColumns>
struct Conv3x3 {
  static constexpr int kWarpColumns = kColumns / 2, kColumnTiles = kWarpColumns / 8, kRowTiles = 3;
  static constexpr int kWarpRows = kRowTiles * 16;
  static constexpr int kHalves = kColumns / kConvChannels;  // tiles of 64 outputs
  static constexpr int kHalfElements = kConvChannels * kConvChannels;
  static constexpr int kTapElements = kHalves * kHalfElements;
  static constexpr int kPitch = kColumns + kConvPad;  // of the sums of a pixel
  static_assert(kRowTiles == 3);

  const Conv3x3Args& g;
  int pixels, rows, first, column;  // of all maps; of a tile of inputs; the block's first pixel and output
  int lane, warp_row, warp_column;
  Shared<Bf16> halo;
  int halo_elements;
  Shared<Bf16> zeros, weights;
  int weights_at;  // of a lane, in a tap of weights
  int pixel[kRowTiles];
  unsigned inside[kRowTiles];

  RESNET_WORD explicit Conv3x3(const Conv3x3Args& args)
      : g(args),
        pixels(args.n * args.h * args.w),
        rows(args.rows),
        first(block() / (args.out / kColumns) * kConvPixels),
        column(block() % (args.out / kColumns) * kColumns),
        lane(thread() % kWarp),
        warp_row(thread() / kWarp / 2 * kWarpRows),
        warp_column(thread() / kWarp % 2 * kWarpColumns),
        halo(shared<Bf16>(0)),
        halo_elements(rows * kConvChannels),
        zeros(halo + halo_elements * (args.in > kConvChannels ? 2 : 1)),
        weights(zeros + kConvChannels),
        weights_at(lane_weights(lane, warp_column)) {
    if (thread() < 8) zeros.template as<Chunk8>().store(thread(), Chunk8{});
    RESNET_UNROLL
    for (int m = 0; m < kRowTiles; ++m) {
      pixel[m] = warp_row + m * 16 + lane % 16;
      inside[m] = taps_inside(first + pixel[m], pixels, g.h, g.w);
    }
  }

  /// Rows of the tile of 64 input channels, the first of them one row and one pixel in front of the block's.
  RESNET_WORD void copy_inputs(int channels, int from, int to) const {
    copy_pixels<kConv3x3Threads>(halo + channels % 2 * halo_elements, g.x, first - g.w - 1, pixels, g.in,
                                 channels * kConvChannels, from, to);
  }

  /// Weights of a step: a tap of a tile of 64 input channels. Going forward a tile's rows are inputs, back
  /// they are outputs, as the weights lie in memory, and the taps go the other way.
  RESNET_WORD void copy_weights(int step, int tap, int tile) const {
    constexpr int kRows = kConv3x3Threads / 8;  // that are copied at once, as in copy_pixels()
    const int chunk = thread() % 8, begin = thread() / 8, input = tile * kConvChannels;
    const int width = kPass == Pass::forward ? g.out : g.in;
    const std::int64_t element = kPass == Pass::forward
                                     ? (std::int64_t{tap} * g.in + input + begin) * width + column
                                     : (std::int64_t{8 - tap} * g.out + column + begin) * width + input;
    const auto* w = static_cast<const Bf16*>(g.weights) + element + chunk * 8;
    RESNET_UNROLL
    for (int half = 0; half < kHalves; ++half) {
      const Bf16* from = w + half * kConvChannels * (kPass == Pass::forward ? 1 : std::int64_t{width});
      Shared<Bf16> to = weights + step % 2 * kTapElements + half * kHalfElements + chunk_at(begin, chunk);
      RESNET_NO_UNROLL
      for (int row = begin; row < kConvChannels; row += kRows) {
        copy16_async(to, from, true);
        to = to + kRows * kConvChannels;
        from += std::int64_t{kRows} * width;
      }
    }
  }

  /// Where a lane's row of the weights of the warp's first outputs lies, as load_weights() has them.
  RESNET_WORD static int lane_weights(int lane, int warp_column) {
    const int second = lane / 8 % 2, third = lane / 16, row = lane % 8;
    const int tile = warp_column / kConvChannels * kHalfElements, of_tile = warp_column % kConvChannels;
    return tile + (kPass == Pass::forward ? chunk_at(second * 8 + row, of_tile / 8 + third)
                                          : chunk_at(of_tile + third * 8 + row, second));
  }
  /// The weights of the warp's outputs output..+16 and inputs k..+16, as the right operand of two products.
  /// Both are multiples of 16 below 64, so that rows keep the turn of their chunks.
  RESNET_WORD static void load_weights(std::uint32_t (&r)[4], Shared<Bf16> of_lane, int output, int k) {
    if constexpr (kPass == Pass::forward) {
      ldmatrix_trans(r, of_lane.flipped(output) + k * kConvChannels);
    } else {
      ldmatrix(r, of_lane.flipped(k) + output * kConvChannels);
    }
  }

  /// Where a lane's row of the inputs that a tap meets lies, and its first chunk in it.
  RESNET_WORD Shared<Bf16> row_of(int m, int tap, int shift, Shared<Bf16> inputs) const {
    const int at = chunk_at(pixel[m] + shift, lane / 16);
    const bool met = (inside[m] >> static_cast<unsigned>(tap) & 1U) != 0;
    return met ? inputs + at : zeros + in_row(at);
  }

  RESNET_WORD void multiply(float (&sums)[kRowTiles][kColumnTiles][4], int step, int tap, int tile) const {
    const int shift = tap / 3 * g.w + tap % 3;
    const Shared<Bf16> inputs = halo + tile % 2 * halo_elements;
    const Shared<Bf16> left[kRowTiles] = {row_of(0, tap, shift, inputs), row_of(1, tap, shift, inputs),
                                          row_of(2, tap, shift, inputs)};
    const Shared<Bf16> right = weights + step % 2 * kTapElements + weights_at;
    RESNET_NO_UNROLL
    for (int k = 0; k < kConvChannels; k += 16) {
      std::uint32_t a[kRowTiles][4];
      RESNET_UNROLL
      for (int m = 0; m < kRowTiles; ++m) ldmatrix(a[m], left[m].flipped(k));
      RESNET_UNROLL
      for (int j = 0; j < kColumnTiles; j += 4) {  // as many as there are registers for
        std::uint32_t b[2][4];
        load_weights(b[0], right, j * 8, k);
        load_weights(b[1], right, j * 8 + 16, k);
        RESNET_UNROLL
        for (int m = 0; m < kRowTiles; ++m) {
          RESNET_UNROLL
          for (int i = 0; i < 4; ++i)
            mma_bf16(sums[m][j + i], a[m], b[i / 2][i % 2 * 2], b[i / 2][i % 2 * 2 + 1]);
        }
      }
    }
  }

  /// All products. Beside those of a tap the next tap's weights are copied, and a ninth of the next inputs.
  RESNET_WORD void run(float (&sums)[kRowTiles][kColumnTiles][4]) const {
    const int tiles = g.in / kConvChannels, slice = (rows + 8) / 9;
    copy_inputs(0, 0, rows);
    copy_weights(0, 0, 0);
    commit();
    int tap = 0, tile = 0;
    RESNET_NO_UNROLL
    for (int step = 0; tile < tiles; ++step) {
      wait<0>();
      sync();  // what was copied is there for all, and all are done with what is overwritten next
      if (tap == 0 && g.table != nullptr) {
        normalize_pixels<kConv3x3Threads>(halo + tile % 2 * halo_elements, rows, g.table, g.in,
                                          tile * kConvChannels, g.relu != 0);
        sync();
      }
      const int next_tap = tap < 8 ? tap + 1 : 0, next_tile = tap < 8 ? tile : tile + 1;
      if (next_tile < tiles) {
        copy_weights(step + 1, next_tap, next_tile);
        if (tile + 1 < tiles)
          copy_inputs(tile + 1, tap * slice, rows < (tap + 1) * slice ? rows : (tap + 1) * slice);
        commit();
      }
      multiply(sums, step, tap, tile);
      tap = next_tap;
      tile = next_tile;
    }
    sync();
  }

  /// Puts the sums where all threads read them, by rows.
  RESNET_WORD void put(const float (&sums)[kRowTiles][kColumnTiles][4]) const {
    const Shared<float> stage = shared<float>(0);
    RESNET_UNROLL
    for (int m = 0; m < kRowTiles; ++m) {
      RESNET_UNROLL
      for (int j = 0; j < kColumnTiles; ++j) {
        const int at = (warp_row + m * 16 + lane / 4) * kPitch + warp_column + j * 8 + lane % 4 * 2;
        stage.template as<Chunk<float, 2>>().store(at / 2, {sums[m][j][0], sums[m][j][1]});
        stage.template as<Chunk<float, 2>>().store(at / 2 + 8 * kPitch / 2, {sums[m][j][2], sums[m][j][3]});
      }
    }
  }
  /// Eight of them. Half of the lanes read the second pack first, as the others have the banks of the first.
  RESNET_WORD static Eight take(int row, int half, int chunk) {
    const Shared<Chunk<float, 4>> stage = shared<Chunk<float, 4>>(0);
    const int at = (row * kPitch + half * kConvChannels + chunk * 8) / 4;
    const bool second = chunk >= 4;
    const auto one = stage.load(at + (second ? 1 : 0)), other = stage.load(at + (second ? 0 : 1));
    Eight result;
    RESNET_UNROLL
    for (int k = 0; k < 4; ++k) {
      result.v[k] = second ? other.v[k] : one.v[k];
      result.v[k + 4] = second ? one.v[k] : other.v[k];
    }
    return result;
  }
};

/// Eight neighbours of y, as they are stored, and their moments.
RESNET_WORD void finish_forward(const Conv3x3Args& g, Eight v, std::int64_t at, const Eight& bias,
                                double (&sums)[2][8]) {
  if (g.bias != nullptr) {
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) v.v[k] += bias.v[k];
  }
  const Chunk8 y = chunk_of(v);
  store_chunk(static_cast<Bf16*>(g.y) + at, y);
  add_moments(sums, eight_of(y));
}

/// Of eight channels of dx: a mask needs no more than their means.
RESNET_WORD NormEight norm_of(const Conv3x3Args& g, int c) {
  if (g.mask == nullptr) return {g.norm, g.out, c};
  NormEight norm;
  norm.mean = load_eight(g.norm + c);
  return norm;
}

/// What a gradient takes of other maps at eight neighbours.
struct Beside {
  Chunk8 addend = {}, x = {};
  unsigned mask = 0;
};
RESNET_WORD Beside load_beside(const Conv3x3Args& g, std::int64_t at) {
  Beside beside;
  if (g.addend != nullptr) beside.addend = load_chunk<8>(static_cast<const Bf16*>(g.addend) + at);
  if (g.norm_x != nullptr) beside.x = load_chunk<8>(static_cast<const Bf16*>(g.norm_x) + at);
  if (g.mask != nullptr) beside.mask = g.mask[at / 8];
  return beside;
}

/// Eight neighbours of dx, gated where a ReLU was before them, and the norm's sums of them.
RESNET_WORD void finish_gradient(const Conv3x3Args& g, Eight v, std::int64_t at, const Beside& beside,
                                 const NormEight& norm, double (&sums)[2][8]) {
  if (g.addend != nullptr) {
    const Eight addend = eight_of(beside.addend);
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) v.v[k] += addend.v[k];
  }
  if (g.norm_x == nullptr) return store_chunk(static_cast<Bf16*>(g.y) + at, chunk_of(v));
  const Eight x = eight_of(beside.x);
  const unsigned bits = g.mask != nullptr ? beside.mask : bits_of_table(norm, x);
  const Chunk8 dz = chunk_of(passing(v, bits));
  store_chunk(static_cast<Bf16*>(g.y) + at, dz);
  add_gradient_sums(sums, eight_of(dz), x, norm.mean);
}

/// Blocks are (tile of pixels, tile of outputs), the outputs innermost. Two share a multiprocessor.
template <Pass kPass, int kColumns>
RESNET_WORD void conv3x3(const Conv3x3Args& g) {
  using Products = Conv3x3<kPass, kColumns>;
  const Products products(g);
  float sums[Products::kRowTiles][Products::kColumnTiles][4] = {};
  products.run(sums);
  products.put(sums);
  sync();
  RESNET_NO_UNROLL
  for (int half = 0; half < Products::kHalves; ++half) {
    const int chunk = thread() % 8, channel = products.column + half * kConvChannels, c = channel + chunk * 8;
    double of_channels[2][8] = {};
    Eight bias = {};  // of all rows, as is the norm
    NormEight norm;
    if (kPass == Pass::forward && g.bias != nullptr) bias = load_eight(g.bias + c);
    if (kPass != Pass::forward && g.norm_x != nullptr) norm = norm_of(g, c);
    constexpr int kRows = kConv3x3Threads / 8;  // that are finished at once
    const int left = products.pixels - products.first, rows = left < kConvPixels ? left : kConvPixels;
    const std::int64_t first = std::int64_t{products.first} * g.out + c;
    Beside next;  // of the row that comes after: it is there when this one's sums are
    if (kPass != Pass::forward && thread() / 8 < rows)
      next = load_beside(g, first + thread() / 8 * std::int64_t{g.out});
    RESNET_NO_UNROLL
    for (int row = thread() / 8; row < rows; row += kRows) {
      const Eight v = Products::take(row, half, chunk);
      const std::int64_t at = first + std::int64_t{row} * g.out;
      if constexpr (kPass == Pass::forward) {
        finish_forward(g, v, at, bias, of_channels);
      } else {
        const Beside beside = next;
        if (row + kRows < rows) next = load_beside(g, at + std::int64_t{kRows} * g.out);
        finish_gradient(g, v, at, beside, norm, of_channels);
      }
    }
    if (g.parts == nullptr) continue;
    const Shared<double> behind = shared<double>(kConvPixels * Products::kPitch * 4);  // the products
    double* const parts = g.parts + std::int64_t{products.first / kConvPixels} * 2 * g.out + channel;
    RESNET_UNROLL
    for (int k = 0; k < 2; ++k) {  // one after the other in the same memory
      sync();                      // all have read what was there
      leave_sums<kConv3x3Threads>(reinterpret_cast<const double(&)[1][8]>(of_channels[k]), behind,
                                  parts + k * g.out, g.out, kConvChannels);
    }
  }
}

/// moments [3][c]: mean, what rounding it left, variance.
RESNET_WORD void conv_moments(const ConvSumsArgs& g) {
  const std::int64_t c = merged_channel();
  double sums[2];
  merge_sums(sums, g.parts, g.parts_count, g.c, c);
  if (thread() >= kMergeChannels || c >= g.c) return;
  const Moments moments(sums[0], sums[1], g.rows);
  g.sums[c] = static_cast<float>(moments.mean);
  g.sums[g.c + c] = static_cast<float>(moments.mean - static_cast<double>(g.sums[c]));
  g.sums[2 * g.c + c] = static_cast<float>(moments.variance);
}

/// sums [3][c]: of dz, of dz * (x - mean); the third is nobody's.
RESNET_WORD void conv_gradient_sums(const ConvSumsArgs& g) {
  const std::int64_t c = merged_channel();
  double sums[2];
  merge_sums(sums, g.parts, g.parts_count, g.c, c);
  if (thread() >= kMergeChannels || c >= g.c) return;
  g.sums[c] = static_cast<float>(sums[0]);
  g.sums[g.c + c] = static_cast<float>(sums[1]);
  g.sums[2 * g.c + c] = 0.0F;
}

}  // namespace resnet::device
