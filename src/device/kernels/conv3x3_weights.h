// The gradient of the weights of a 3x3 convolution (conv3x3.h), in bf16, through the norms on both sides. A
// block has 64 inputs, 64 outputs and all nine taps in the registers of its 256 threads, and goes over its
// share of the pixels.
#pragma once

#include "device/args.h"
#include "device/kernels/conv3x3.h"
#include "device/words.h"

namespace resnet::device {

struct Conv3x3Weights {
  static constexpr int kRowTiles = 4;     // of 16 outputs
  static constexpr int kColumnTiles = 9;  // of 8 inputs of a tap: of the 72 each of eight warps has nine

  const Conv3x3WeightsArgs& g;
  int pixels, rows, share, input, output;
  int lane, warp;
  Shared<Bf16> zeros;
  Shared<std::uint16_t> inside;
  int half_elements;

  RESNET_WORD explicit Conv3x3Weights(const Conv3x3WeightsArgs& args)
      : g(args),
        pixels(args.n * args.h * args.w),
        rows(args.rows),
        share(block() / (args.ci / kConvChannels * (args.co / kConvChannels))),
        input(block() / (args.co / kConvChannels) % (args.ci / kConvChannels) * kConvChannels),
        output(block() % (args.co / kConvChannels) * kConvChannels),
        lane(thread() % kWarp),
        warp(thread() / kWarp),
        zeros(shared<Bf16>(0)),
        inside(shared<std::uint16_t>(kConvChannels * 2)),
        half_elements((rows + kWeightPixels * (args.norm_x != nullptr ? 2 : 1)) * kConvChannels) {
    if (thread() < 8) zeros.template as<Chunk8>().store(thread(), Chunk8{});
  }

  RESNET_WORD Shared<Bf16> x(int tile) const {
    return shared<Bf16>(kConvChannels * 2 + 2 * kWeightPixels * 2) + tile % 2 * half_elements;
  }
  RESNET_WORD Shared<Bf16> dy(int tile) const { return x(tile) + rows * kConvChannels; }
  RESNET_WORD Shared<Bf16> norm_x(int tile) const { return dy(tile) + kWeightPixels * kConvChannels; }

  RESNET_WORD void copy(int tile) const {
    const int first = tile * kWeightPixels;
    copy_pixels<kThreads>(x(tile), g.x, first - g.w - 1, pixels, g.ci, input, 0, rows);
    copy_pixels<kThreads>(dy(tile), g.dy, first, pixels, g.co, output, 0, kWeightPixels);
    if (g.norm_x != nullptr)
      copy_pixels<kThreads>(norm_x(tile), g.norm_x, first, pixels, g.co, output, 0, kWeightPixels);
    commit();
    if (thread() < kWeightPixels)
      inside.store(tile % 2 * kWeightPixels + thread(),
                   static_cast<std::uint16_t>(taps_inside(first + thread(), pixels, g.h, g.w)));
  }

  /// dy of dz and the norm's x, in place; blocks of the first inputs write it.
  RESNET_WORD void make_dy(int tile) const {
    const int chunk = thread() % 8, c = output + chunk * 8;
    const NormGradientEight norm(g.norm, g.co, c);
    for (int row = thread() / 8; row < kWeightPixels; row += kThreads / 8) {
      const int pixel = tile * kWeightPixels + row;
      if (pixel >= pixels) continue;  // its dz is zero, and no tap reads its x
      const Shared<Chunk8> at = (dy(tile) + chunk_at(row, chunk)).template as<Chunk8>();
      const Eight v = eight_of((norm_x(tile) + chunk_at(row, chunk)).template as<Chunk8>().load(0));
      Eight d = eight_of(at.load(0));
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k) d.v[k] = norm.of(k, d.v[k], v.v[k]);
      const Chunk8 made = chunk_of(d);
      at.store(0, made);
      if (input == 0) store_chunk(static_cast<Bf16*>(g.made_dy) + std::int64_t{pixel} * g.co + c, made);
    }
  }

  RESNET_WORD void multiply(float (&sums)[kRowTiles][kColumnTiles][4], int tile) const {
    constexpr int kPairs = (kColumnTiles + 1) / 2;  // of column tiles, of which the last is one
    const Shared<Bf16> of_x = x(tile);
    const Shared<Bf16> of_dy = dy(tile) + chunk_at(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    const Shared<std::uint16_t> taps_of = inside + tile % 2 * kWeightPixels + lane % 16;
    int at[kPairs];  // of the tile's first pixels; sixteen further on a row's chunks are turned as before
    unsigned bit[kPairs];
    RESNET_UNROLL
    for (int p = 0; p < kPairs; ++p) {
      const int column = warp * kColumnTiles + 2 * p + (2 * p + 1 < kColumnTiles ? lane / 16 : 0);
      const int tap = column / 8;
      at[p] = chunk_at(lane % 16 + tap / 3 * g.w + tap % 3, column % 8);
      bit[p] = 1U << static_cast<unsigned>(tap);
    }
    RESNET_NO_UNROLL
    for (int k = 0; k < kWeightPixels; k += 16) {
      std::uint32_t a[kRowTiles][4];
      RESNET_UNROLL
      for (int m = 0; m < kRowTiles; ++m) ldmatrix_trans(a[m], of_dy.flipped(16 * m) + k * kConvChannels);
      const unsigned taps = taps_of.load(k);
      RESNET_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        std::uint32_t b[4];
        ldmatrix_trans(b, (taps & bit[p]) != 0 ? of_x + (at[p] + k * kConvChannels) : zeros + in_row(at[p]));
        RESNET_UNROLL
        for (int m = 0; m < kRowTiles; ++m) {
          mma_bf16(sums[m][2 * p], a[m], b[0], b[1]);
          if (2 * p + 1 < kColumnTiles) mma_bf16(sums[m][2 * p + 1], a[m], b[2], b[3]);
        }
      }
    }
  }

  RESNET_WORD void run(float (&sums)[kRowTiles][kColumnTiles][4]) const {
    const int all = (pixels + kWeightPixels - 1) / kWeightPixels;
    const int from = share * g.share, to = from + g.share < all ? from + g.share : all;
    if (from < to) copy(from);
    RESNET_NO_UNROLL
    for (int tile = from; tile < to; ++tile) {
      wait<0>();
      sync();  // what was copied is there for all, and all are done with the other half
      if (tile + 1 < to) copy(tile + 1);
      if (g.table != nullptr) normalize_pixels<kThreads>(x(tile), rows, g.table, g.ci, input, g.relu != 0);
      if (g.norm_x != nullptr) make_dy(tile);
      if (g.table != nullptr || g.norm_x != nullptr) sync();
      multiply(sums, tile);
    }
  }

  RESNET_WORD void store(const float (&sums)[kRowTiles][kColumnTiles][4]) const {
    RESNET_UNROLL
    for (int m = 0; m < kRowTiles; ++m) {
      RESNET_UNROLL
      for (int j = 0; j < kColumnTiles; ++j) {
        RESNET_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int column = (warp * kColumnTiles + j) * 8 + lane % 4 * 2 + e % 2;
          const int tap = column / kConvChannels, ci = input + column % kConvChannels;
          const int co = output + m * 16 + lane / 4 + e / 2 * 8;
          g.dw[((std::int64_t{share} * 9 + tap) * g.ci + ci) * g.co + co] = sums[m][j][e];
        }
      }
    }
  }
};

/// Blocks are (share, tile of inputs, tile of outputs), the outputs innermost.
RESNET_WORD void conv3x3_weight_gradient(const Conv3x3WeightsArgs& g) {
  const Conv3x3Weights products(g);
  float sums[Conv3x3Weights::kRowTiles][Conv3x3Weights::kColumnTiles][4] = {};
  products.run(sums);
  products.store(sums);
}

}  // namespace resnet::device
