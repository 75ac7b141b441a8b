// What stands between our convolutions and those of a library: the order of weights, and biases.
#pragma once

#include "device/args.h"
#include "device/kernels/lines.h"
#include "device/words.h"

namespace resnet::device {

template <class From, class To>
RESNET_WORD void transpose_tile(const TransposeArgs& g, std::int64_t number) {
  constexpr int kSide = kTransposeTile, kPitch = kSide + 1, kWarps = kThreads / kWarp;
  const auto* from = static_cast<const From*>(g.from);
  auto* to = static_cast<To*>(g.to);
  const std::int64_t across = (g.columns + kSide - 1) / kSide;
  const std::int64_t row = number / across * kSide, column = number % across * kSide;
  const int lane = thread() % kWarp;
  const Shared<float> tile = shared<float>(0);
  for (int r = thread() / kWarp; r < kSide; r += kWarps) {
    if (row + r < g.rows && column + lane < g.columns)
      tile.store(r * kPitch + lane, to_float(from[(row + r) * g.columns + column + lane]));
  }
  sync();
  for (int r = thread() / kWarp; r < kSide; r += kWarps) {
    if (row + lane < g.rows && column + r < g.columns)
      to[(column + r) * g.rows + row + lane] = rounded<To>(tile.load(lane * kPitch + r));
  }
}

template <class From, class To>
RESNET_WORD void transpose(const TransposeArgs& g) {
  transpose_tile<From, To>(g, block());
}

/// bf16 of f32, whole eights of elements.
RESNET_WORD void round_by(const TransposeArgs& g, const OfBlocks& of) {
  for (std::int64_t i = of.first() * 8; i < g.rows * g.columns; i += of.stride() * 8)
    store_eight(static_cast<Bf16*>(g.to) + i, load_eight(static_cast<const float*>(g.from) + i));
}

/// Blocks are those of the lines, one behind the other.
RESNET_WORD void copy_weights(const CopiesArgs& g) {
  const OwnLine own(g.first_block, g.count);
  const CopyLine line = g.lines[own.line];
  if (line.form == CopyForm::rounded) {
    round_by(line.what, own.of);
  } else if (line.form == CopyForm::transposed_bf16) {
    transpose_tile<float, Bf16>(line.what, own.of.number);
  } else {
    transpose_tile<float, float>(line.what, own.of.number);
  }
}

template <class T>
RESNET_WORD void add_bias(const BiasArgs& g) {
  auto* y = static_cast<T*>(g.y);
  const std::int64_t first = static_cast<std::int64_t>(block()) * kThreads + thread();
  const std::int64_t stride = static_cast<std::int64_t>(blocks()) * kThreads, elements = g.rows * g.c;
  if (g.c % 8 != 0) {
    for (std::int64_t i = first; i < elements; i += stride)
      y[i] = rounded<T>(to_float(y[i]) + g.bias[i % g.c]);
    return;
  }
  for (std::int64_t i = first * 8; i < elements; i += stride * 8) {
    Eight sum = load_eight(y + i);
    const Eight bias = load_eight(g.bias + i % g.c);
    RESNET_UNROLL
    for (int k = 0; k < 8; ++k) sum.v[k] += bias.v[k];
    store_eight(y + i, sum);
  }
}

}  // namespace resnet::device
