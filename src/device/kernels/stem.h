// The stem of a network: a convolution of few channels whose result only a batch norm and a max pool behind
// it read. The result never leaves shared memory: going forward what the pool chooses of it is stored, and
// its moments; going back it is made again.
//
// A block has a strip of an image's rows and 64 outputs. Its input rows lie in shared memory in bf16, so that
// the elements of a tap's row, kw * ci of them, are neighbours: they are the depth of the products, padded to
// chunks of eight by weights of zero, and a fragment of them is read where it lies.
#pragma once

#include "device/args.h"
#include "device/kernels/conv3x3.h"
#include "device/words.h"

namespace resnet::device {

/// Rows of y that a block makes, of which the first may be the last of the strip before.
template <class T>
struct Stem {
  static constexpr int kWarps = kThreads / kWarp;

  const StemArgs& g;
  int image, strip, column;  // column: the first output
  int first_row, rows;       // of y
  int lane, warp, run;       // run: elements of a tap's row
  Shared<Bf16> weights, y;
  Shared<std::uint16_t> begins;  // of pixels, see input_of()
  Shared<Bf16> inputs;

  /// With the strip's rows before the pool's windows: `above` more.
  RESNET_WORD Stem(const StemArgs& args, int number, int output, int above)
      : g(args),
        image(number / args.strips),
        strip(number % args.strips),
        column(output),
        lane(thread() % kWarp),
        warp(thread() / kWarp),
        run(args.kw * args.ci),
        weights(shared<Bf16>(0)),
        y(weights + args.depth * kConvChannels),
        begins((y + args.pixels * kConvChannels).template as<std::uint16_t>()),
        inputs((begins + args.pixels).template as<Bf16>()) {
    const int begin = strip * g.strip_rows * 2;
    first_row = begin - above > 0 ? begin - above : 0;
    const int end = begin + g.strip_rows * 2;
    rows = (end < g.ho ? end : g.ho) - first_row;
  }

  RESNET_WORD int pixels() const { return rows * g.wo; }

  /// Rounded to bf16, zeros where a chunk is longer than the row of a tap.
  RESNET_WORD void load_weights() const {
    for (int i = thread(); i < g.depth * 8; i += kThreads) {
      const int k = i / 8, chunk = i % 8, row = k / g.padded_run, j = k % g.padded_run;
      Eight w = {};
      if (row < g.kh && j < run)
        w = load_eight(g.w + std::int64_t{row * run + j} * g.co + column + chunk * 8);
      (weights + chunk_at(k, chunk)).template as<Chunk8>().store(0, chunk_of(w));
    }
  }

  /// The rows of x that the strip's taps meet, and one more for the depth's last chunk; and where each
  /// pixel's begin, which are divisions for once.
  RESNET_WORD void load_inputs() const {
    for (int i = thread(); i < g.pixels; i += kThreads) {
      const int p = i < pixels() ? i : pixels() - 1;
      begins.store(i, static_cast<std::uint16_t>(p / g.wo * g.sh * g.pitch + p % g.wo * g.sw * g.ci));
    }
    const int first = first_row * g.sh - g.ph, count = (rows - 1) * g.sh + g.kh + 1, extent = g.width * g.ci;
    const auto* x = static_cast<const T*>(g.x) + std::int64_t{image} * g.height * extent;
    constexpr int kAtOnce = 4;  // loads that wait beside each other
    RESNET_NO_UNROLL
    for (int i = thread(); i < count * g.pitch; i += kAtOnce * kThreads) {
      float v[kAtOnce];
      RESNET_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        const int at = i + k * kThreads, row = first + at / g.pitch, e = at % g.pitch - g.pw * g.ci;
        const bool valid = at < count * g.pitch && row >= 0 && row < g.height && e >= 0 && e < extent;
        v[k] = valid ? to_float(x[std::int64_t{row} * extent + e]) : 0.0F;
      }
      RESNET_UNROLL
      for (int k = 0; k < kAtOnce; ++k) {
        if (const int at = i + k * kThreads; at < count * g.pitch) inputs.store(at, rounded<Bf16>(v[k]));
      }
    }
  }

  /// Where the elements begin that a pixel's first tap meets; beyond the last pixel those of the last.
  RESNET_WORD int input_of(int pixel) const { return begins.load(pixel); }
  /// And where from there chunk k8 of the depth.
  RESNET_WORD int chunk_of_depth(int k8) const {
    const int chunks = g.padded_run / 8;
    return k8 / chunks * g.pitch + k8 % chunks * 8;
  }
  /// And for one chunk after the other, without a division.
  struct Chunks {
    int at = 0, of_run = 0;
    RESNET_WORD int take(const StemArgs& g) {
      const int here = at;
      at += 8;
      of_run += 8;
      if (of_run == g.padded_run) {
        at += g.pitch - g.padded_run;
        of_run = 0;
      }
      return here;
    }
  };

  /// Makes y of all pixels, as it is stored.
  RESNET_WORD void convolve() const {
    const auto load_pair = [](Shared<Bf16> at) { return at.template as<std::uint32_t>().load(0); };
    const Shared<Bf16> right = weights + chunk_at(lane / 8 % 2 * 8 + lane % 8, lane / 16);
    RESNET_NO_UNROLL
    for (int first = warp * 16; first < pixels(); first += kWarps * 16) {
      const Shared<Bf16> upper = inputs + (input_of(first + lane / 4) + lane % 4 * 2),
                         lower = inputs + (input_of(first + lane / 4 + 8) + lane % 4 * 2);
      float sums[8][4] = {};
      Chunks chunks;
      RESNET_NO_UNROLL
      for (int k = 0; k < g.depth; k += 16) {
        const int low = chunks.take(g), high = chunks.take(g);
        const std::uint32_t a[4] = {load_pair(upper + low), load_pair(lower + low), load_pair(upper + high),
                                    load_pair(lower + high)};
        RESNET_UNROLL
        for (int j = 0; j < 4; ++j) {
          std::uint32_t b[4];
          ldmatrix_trans(b, right.flipped(16 * j) + k * kConvChannels);
          mma_bf16(sums[2 * j], a, b[0], b[1]);
          mma_bf16(sums[2 * j + 1], a, b[2], b[3]);
        }
      }
      Chunk<float, 2> bias[8] = {};  // at once, and in no registers beside the products
      if (g.bias != nullptr) {
        RESNET_UNROLL
        for (int j = 0; j < 8; ++j) bias[j] = load_chunk<2>(g.bias + column + j * 8 + lane % 4 * 2);
      }
      RESNET_UNROLL
      for (int j = 0; j < 8; ++j) {
        RESNET_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int pixel = first + lane / 4 + half * 8;
          const float both[2] = {sums[j][half * 2] + bias[j].v[0], sums[j][half * 2 + 1] + bias[j].v[1]};
          Chunk<Bf16, 2> pair;
          round_all(pair.v, both);
          if (pixel < pixels())
            (y + chunk_at(pixel, j) + lane % 4 * 2).template as<Chunk<Bf16, 2>>().store(0, pair);
        }
      }
    }
  }

  RESNET_WORD Shared<Chunk8> chunk(int pixel, int c8) const {
    return (y + chunk_at(pixel, c8)).template as<Chunk8>();
  }
};

/// What the pool, 3x3 with stride 2 and padding 1, chooses of the strip: by the largest gamma * y.
template <class T>
RESNET_WORD void choose(const Stem<T>& stem) {
  const StemArgs& g = stem.g;
  const int first = stem.strip * g.strip_rows;
  const int last = first + g.strip_rows < g.pooled_height ? first + g.strip_rows : g.pooled_height;
  const int c8 = thread() % 8;
  const Eight gamma = load_eight(g.gamma + stem.column + c8 * 8);
  for (int i = thread(); i < (last - first) * g.pooled_width * 8; i += kThreads) {
    const int column = i / 8 % g.pooled_width, row = first + i / 8 / g.pooled_width;
    Chunk8 best = {};
    Eight product = {};
    Chunk<std::uint8_t, 8> taps = {};
    bool any = false;
    for (int tap = 0; tap < 9; ++tap) {
      const int h = row * 2 - 1 + tap / 3, w = column * 2 - 1 + tap % 3;
      if (h < 0 || h >= g.ho || w < 0 || w >= g.wo) continue;
      const Chunk8 y = stem.chunk((h - stem.first_row) * g.wo + w, c8).load(0);
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k) {
        const float v = to_float(y.v[k]) * gamma.v[k];
        if (!any || v > product.v[k] || v != v) {
          product.v[k] = v;
          best.v[k] = y.v[k];
          taps.v[k] = static_cast<std::uint8_t>(tap);
        }
      }
      any = true;
    }
    const std::int64_t at =
        ((std::int64_t{stem.image} * g.pooled_height + row) * g.pooled_width + column) * g.co + stem.column +
        c8 * 8;
    store_chunk(static_cast<Bf16*>(g.y) + at, best);
    if (g.index != nullptr) store_chunk(g.index + at, taps);
  }
}

/// Sums for the moments of the strip's own rows.
template <class T>
RESNET_WORD void leave_moments(const Stem<T>& stem) {
  const StemArgs& g = stem.g;
  const int own = stem.strip * g.strip_rows * 2 - stem.first_row, c8 = thread() % 8;
  double sums[2][8] = {};
  for (int pixel = own * g.wo + thread() / 8; pixel < stem.pixels(); pixel += kThreads / 8) {
    add_moments(sums, eight_of(stem.chunk(pixel, c8).load(0)));
  }
  leave_sums<kThreads>(sums, stem.inputs.template as<double>(),
                       g.parts + std::int64_t{stem.image * g.strips + stem.strip} * 2 * g.co + stem.column,
                       g.co, kConvChannels);
}

/// Blocks are (image, strip, 64 outputs), the outputs innermost.
template <class T>
RESNET_WORD void stem_forward(const StemArgs& g) {
  const int tiles = g.co / kConvChannels;
  const Stem<T> stem(g, block() / tiles, block() % tiles * kConvChannels, 1);
  stem.load_weights();
  stem.load_inputs();
  sync();
  stem.convolve();
  sync();
  choose(stem);
  if (g.parts != nullptr) leave_moments(stem);
}

/// dy of eight outputs of a pixel: of y, and of dz where a window of the pool chose it and its ReLU let it
/// pass.
template <class T>
RESNET_WORD Chunk8 dy_of(const Stem<T>& stem, const Chunk8& y, int pixel, int c8) {
  const StemArgs& g = stem.g;
  const int h = stem.first_row + pixel / g.wo, w = pixel % g.wo, c = stem.column + c8 * 8;
  Eight spread = {};
  for (int r = 2; r >= 0; --r) {
    const int row = (h + 1 - r) / 2;
    if ((h + 1 - r) % 2 != 0 || row < 0 || row >= g.pooled_height) continue;
    for (int s = 2; s >= 0; --s) {
      const int column = (w + 1 - s) / 2;
      if ((w + 1 - s) % 2 != 0 || column < 0 || column >= g.pooled_width) continue;
      const std::int64_t at =
          ((std::int64_t{stem.image} * g.pooled_height + row) * g.pooled_width + column) * g.co + c;
      const Eight dz = load_eight(static_cast<const Bf16*>(g.dz) + at);
      const auto taps = load_chunk<8>(g.chosen + at);
      Eight z = {};
      if (g.gate != nullptr) z = load_eight(static_cast<const Bf16*>(g.gate) + at);
      RESNET_UNROLL
      for (int k = 0; k < 8; ++k) {
        const bool counts = taps.v[k] == r * 3 + s && (g.gate == nullptr || !(z.v[k] <= 0.0F));
        spread.v[k] += counts ? dz.v[k] : 0.0F;
      }
    }
  }
  const NormGradientEight norm(g.table, g.co, c);  // once for all pixels it takes too many registers
  Eight v = eight_of(y);
  RESNET_UNROLL
  for (int k = 0; k < 8; ++k) v.v[k] = norm.of(k, spread.v[k], v.v[k]);
  return chunk_of(v);
}

/// Blocks are (share of the strips, 64 outputs). Each of eight warps has every eighth chunk of the depth.
template <class T>
RESNET_WORD void stem_weight_gradient(const StemArgs& g) {
  constexpr int kChunks = kMostStemDepth / 8 / Stem<T>::kWarps;
  const int tiles = g.co / kConvChannels, share = block() / tiles, column = block() % tiles * kConvChannels;
  const int all = g.n * g.strips, end = (share + 1) * g.share < all ? (share + 1) * g.share : all;
  const int lane = thread() % kWarp, warp = thread() / kWarp;
  float sums[kChunks][4][4] = {};
  RESNET_NO_UNROLL
  for (int number = share * g.share; number < end; ++number) {
    const Stem<T> stem(g, number, column, 0);
    sync();  // all are done with the strip before
    if (number == share * g.share) stem.load_weights();
    stem.load_inputs();
    sync();
    stem.convolve();
    sync();
    const int padded = (stem.pixels() + 15) / 16 * 16;
    const int c8 = thread() % 8;
    for (int i = thread(); i < padded * 8; i += kThreads) {
      const Shared<Chunk8> at = stem.chunk(i / 8, c8);
      at.store(0, i / 8 < stem.pixels() ? dy_of(stem, at.load(0), i / 8, c8) : Chunk8{});
    }
    sync();
    const Shared<std::uint16_t> x = stem.inputs.template as<std::uint16_t>();
    const Shared<Bf16> left = stem.y + chunk_at(lane / 16 * 8 + lane % 8, lane / 8 % 2);
    int of_chunk[kChunks];
    RESNET_UNROLL
    for (int j = 0; j < kChunks; ++j)
      of_chunk[j] = stem.chunk_of_depth(warp + j * Stem<T>::kWarps) + lane / 4;
    RESNET_NO_UNROLL
    for (int first = 0; first < padded; first += 16) {
      std::uint32_t a[4][4];
      RESNET_UNROLL
      for (int m = 0; m < 4; ++m) ldmatrix_trans(a[m], left.flipped(16 * m) + first * kConvChannels);
      int from[4];  // of the pixels of this lane's two pairs
      RESNET_UNROLL
      for (int p = 0; p < 4; ++p) from[p] = stem.input_of(first + lane % 4 * 2 + p / 2 * 8 + p % 2);
      RESNET_UNROLL
      for (int j = 0; j < kChunks; ++j) {
        if ((warp + j * Stem<T>::kWarps) * 8 >= g.depth) continue;
        const int at = of_chunk[j];
        std::uint32_t b[2];
        RESNET_UNROLL
        for (int p = 0; p < 2; ++p)
          b[p] = x.load(from[2 * p] + at) | static_cast<std::uint32_t>(x.load(from[2 * p + 1] + at)) << 16U;
        RESNET_UNROLL
        for (int m = 0; m < 4; ++m) mma_bf16(sums[j][m], a[m], b[0], b[1]);
      }
    }
  }
  const int run = g.kw * g.ci;
  RESNET_UNROLL
  for (int j = 0; j < kChunks; ++j) {
    RESNET_UNROLL
    for (int m = 0; m < 4; ++m) {
      RESNET_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int k = (warp + j * Stem<T>::kWarps) * 8 + lane % 4 * 2 + e % 2, row = k / g.padded_run,
                  i = k % g.padded_run;
        const int co = column + m * 16 + lane / 4 + e / 2 * 8;
        if (row < g.kh && i < run)
          g.dw[(std::int64_t{share} * g.kh * run + row * run + i) * g.co + co] = sums[j][m][e];
      }
    }
  }
}

}  // namespace resnet::device
