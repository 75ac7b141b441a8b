// A convolution's passes as implicit GEMMs, of any geometry and grouping; a linear layer is a 1x1 map. Blocks
// are (share, group, tile of rows, tile of columns), the columns innermost.
//
//   pass             rows                columns   depth
//   forward          pixels of y         co        taps x ci
//   input gradient   pixels of x         ci        taps x co
//   weight gradient  taps x ci           co        pixels of y, in shares
#pragma once

#include <type_traits>

#include "device/args.h"
#include "device/kernels/gemm_tiles.h"
#include "device/words.h"

namespace resnet::device {

enum class Pass : int { forward, input_gradient, weight_gradient };

/// How the threads of a block go over a tile by chunks of kCount neighbours: each has one place along the
/// inner side, and kSteps along the outer one, kApart from each other.
template <class TileT, int kCount>
struct Walk {
  static constexpr int kInner = TileT::kInnerExtent / kCount, kApart = kGemmThreads / kInner;
  static constexpr int kSteps = kTile * TileT::kDepth / kCount / kGemmThreads;
  static_assert(kGemmThreads % kInner == 0 && kSteps * kApart * TileT::kInnerExtent == kTile * TileT::kDepth);
  static constexpr bool kDeep = TileT::kOrder == Inner::depth;
  RESNET_WORD static int inner() { return thread() % kInner * kCount; }
  RESNET_WORD static int outer() { return thread() / kInner; }
  RESNET_WORD static int row() { return kDeep ? outer() : inner(); }  // the first, as the depth
  RESNET_WORD static int k() { return kDeep ? inner() : outer(); }
};

/// An element of an operand, and whether there is one: zero otherwise.
struct Element {
  std::int64_t at;
  bool there;
};

/// Fills a tile; at(row, k) is the first of kCount neighbours, asked for in the order of the outer side. What
/// needs no rounding and comes by 16 bytes is copied beside the products: it is there after a wait.
template <class TileT, class S, class T, int kCount, class At>
RESNET_WORD void load_tile(Shared<S> tile, const At& at, const void* operand) {
  using W = Walk<TileT, kCount>;
  constexpr bool kAsync = std::is_same_v<S, T> && kCount * sizeof(T) == 16;
  constexpr int kTogether = W::kSteps < 4 ? W::kSteps : 4;  // loads under way, for which there are registers
  static_assert(W::kSteps % kTogether == 0);
  const auto load = [&](int i) {
    const int row = W::row() + (W::kDeep ? i * W::kApart : 0), k = W::k() + (W::kDeep ? 0 : i * W::kApart);
    const Element element = at(row, k);
    const T* const from = static_cast<const T*>(operand) + (element.there ? element.at : 0);
    const Shared<S> to = tile + TileT::at(row, k);
    if constexpr (kAsync) {
      copy16_async(to, from, element.there);
    } else {
      Chunk<S, kCount> chunk = {};
      if (element.there) {
        const auto given = load_chunk<kCount>(from);
        float values[kCount];
        RESNET_UNROLL
        for (int e = 0; e < kCount; ++e) values[e] = to_float(given.v[e]);
        round_all(chunk.v, values);
      }
      to.template as<Chunk<S, kCount>>().store(0, chunk);
    }
  };
  RESNET_NO_UNROLL
  for (int first = 0; first < W::kSteps; first += kTogether) {
    RESNET_UNROLL
    for (int i = 0; i < kTogether; ++i) load(first + i);
  }
}

/// A number as three digits, the last two of these bases. It goes on by additions, where a division for every
/// 16 bytes would cost more than their products.
struct Digits {
  int high, middle, low;
};
struct Bases {
  int middle, low;
  RESNET_WORD Digits of(int number) const {
    const int upper = number / low;
    return {upper / middle, upper % middle, number % low};
  }
  RESNET_WORD Digits sum(const Digits& a, const Digits& b) const {
    Digits sum = {a.high + b.high, a.middle + b.middle, a.low + b.low};
    if (sum.low >= low) {
      sum.low -= low;
      ++sum.middle;
    }
    if (sum.middle >= middle) {
      sum.middle -= middle;
      ++sum.high;
    }
    return sum;
  }
};

/// Division by a multiplication. With factor = ceil(2^32 / divisor) a multiple's quotient is too large by
/// quotient * (factor * divisor - 2^32) / 2^32, which is below 1 and falls away; of what is no multiple no
/// quotient is exact.
struct Quotient {
  int number;
  bool exact;
};
struct Divisor {
  unsigned divisor, factor;
  RESNET_WORD explicit Divisor(int by)
      : divisor(static_cast<unsigned>(by)), factor(0xffffffffU / divisor + 1) {}  // of 1 it would be 2^32
  RESNET_WORD Quotient of(int number) const {
    const auto n = static_cast<unsigned>(number);
    const unsigned q = divisor == 1 ? n : static_cast<unsigned>(std::uint64_t{n} * factor >> 32U);
    return {static_cast<int>(q), q * divisor == n};
  }
};

/// Images of an operand. One's elements have 32 bits (graph/limits.h); where there is none they may be any.
struct Map {
  int height, width, channels;
  RESNET_WORD Element at(int image, int row, int column, int channel) const {
    const auto r = static_cast<unsigned>(row), c = static_cast<unsigned>(column);
    const unsigned of_image = (r * static_cast<unsigned>(width) + c) * static_cast<unsigned>(channels) +
                              static_cast<unsigned>(channel);
    return {std::int64_t{image} * (height * width * channels) + of_image,
            r < static_cast<unsigned>(height) && c < static_cast<unsigned>(width)};
  }
};

/// Which tile of which group a block computes.
struct GemmBlock {
  int group, row, column, share;
  RESNET_WORD explicit GemmBlock(const GemmArgs& g) {
    int b = block();
    column = b % g.column_tiles * kTile;
    b /= g.column_tiles;
    row = b % g.row_tiles * kTile;
    b /= g.row_tiles;
    group = b % g.groups;
    share = b / g.groups;
  }
};

/// The tiles of a pass in shared memory.
template <class P, Pass kPass>
struct GemmShared {
  using S = typename P::Element;
  using A = Tile<S, kPass == Pass::weight_gradient ? Inner::row : Inner::depth>;
  using B = Tile<S, kPass == Pass::input_gradient ? Inner::depth : Inner::row>;
};

/// Elements of the operands of a pass, of the stages of its depth one after the other. The left one is of
/// pixels {image, row, column} and taps {row, column, channel of the group}: with the depth innermost a
/// thread has the pixels of its rows and goes from tap to tap, else the tap of its row, and from pixel to
/// pixel.
template <Pass kPass, class WalkA>
struct GemmOperands {
  static constexpr bool kOverTaps = kPass != Pass::weight_gradient;
  static_assert(WalkA::kDeep == kOverTaps);

  const GemmArgs& g;
  GemmBlock at;
  int cig, cog, first = 0, end;  // of the depth: the block's share
  Bases of_pixels, of_taps;
  Digits pixel, tap, pixels_on, taps_on;
  Divisor by_sh, by_sw;

  RESNET_WORD GemmOperands(const GemmArgs& args, int depth)
      : g(args),
        at(args),
        cig(args.ci / args.groups),
        cog(args.co / args.groups),
        of_pixels(kPass == Pass::input_gradient ? Bases{g.h, g.w} : Bases{g.ho, g.wo}),
        of_taps{g.kw, kPass == Pass::input_gradient ? cog : cig},
        by_sh(g.sh),
        by_sw(g.sw) {
    end = kOverTaps ? g.kh * g.kw * of_taps.low : g.n * g.ho * g.wo;
    if constexpr (!kOverTaps) {
      first = static_cast<int>(at.share * g.share);
      end = first + static_cast<int>(g.share) < end ? first + static_cast<int>(g.share) : end;
    }
    const int row = at.row + WalkA::row(), k = first + WalkA::k();
    pixel = of_pixels.of(kOverTaps ? row : k);
    tap = of_taps.of(kOverTaps ? k : row);
    pixels_on = of_pixels.of(WalkA::kApart);
    taps_on = of_taps.of(depth);
  }

  RESNET_WORD int rows() const {
    return kPass == Pass::forward          ? g.n * g.ho * g.wo
           : kPass == Pass::input_gradient ? g.n * g.h * g.w
                                           : g.kh * g.kw * cig;
  }
  RESNET_WORD int columns() const { return kPass == Pass::input_gradient ? cig : cog; }
  /// x where an output's pixel meets a tap.
  RESNET_WORD Element x_at(const Digits& p, const Digits& t) const {
    return Map{g.h, g.w, g.ci}.at(p.high, p.middle * g.sh - g.ph + t.high * g.dh,
                                  p.low * g.sw - g.pw + t.middle * g.dw, at.group * cig + t.low);
  }
  /// dy that an input's pixel reaches by a tap.
  RESNET_WORD Element dy_at(const Digits& p, const Digits& t) const {
    const int rows = p.middle + g.ph - t.high * g.dh, columns = p.low + g.pw - t.middle * g.dw;
    const Quotient oh = by_sh.of(rows), ow = by_sw.of(columns);
    Element element = Map{g.ho, g.wo, g.co}.at(p.high, oh.number, ow.number, at.group * cog + t.low);
    element.there = element.there && rows >= 0 && columns >= 0 && oh.exact && ow.exact;
    return element;
  }

  /// Calls f with what load_tile asks of the left operand, of the stage from depth k0 on.
  template <class F>
  RESNET_WORD void with_a(int k0, const F& f) {
    Digits p = pixel;
    f([&](int row, int k) {
      Element element = kPass == Pass::input_gradient ? dy_at(p, tap) : x_at(p, tap);
      element.there = element.there && at.row + row < rows() && k0 + k < end;
      p = of_pixels.sum(p, pixels_on);
      return element;
    });
    if constexpr (!kOverTaps) pixel = p;
  }
  RESNET_WORD Element b(int column, int k) const {
    const int n = at.column + column;
    const bool there = n < columns() && k < end;
    if constexpr (kPass == Pass::input_gradient)
      return {std::int64_t{(tap.high * g.kw + tap.middle) * cig + n} * g.co + (at.group * cog + tap.low),
              there};
    return {std::int64_t{k} * g.co + (at.group * cog + n), there};
  }
  /// Once both tiles of a stage are asked for.
  RESNET_WORD void next_stage() {
    if constexpr (kOverTaps) tap = of_taps.sum(tap, taps_on);
  }
};

/// Writes a block's sums, neighbours as one where a group's columns are whole pairs.
template <class P, class TY, Pass kPass, int kPair, class Operands>
RESNET_WORD void store_sums(const GemmArgs& g, const Operands& operands, float (&sums)[kSums]) {
  auto* y = static_cast<TY*>(g.y);
  const auto* addend = static_cast<const TY*>(g.addend);
  const int rows = operands.rows(), columns = operands.columns(), first = operands.at.column;
  const int width = kPass == Pass::input_gradient ? g.ci : g.co, group = operands.at.group * columns;
  const std::int64_t part =
      kPass == Pass::weight_gradient ? operands.at.share * (std::int64_t{rows} * g.co) : 0;
  if (kPass == Pass::forward && g.bias != nullptr) {
    float bias[kSums];  // each is loaded once, before there are stores
    RESNET_UNROLL
    for (int i = 0; i < kSums; ++i) {
      const int like = P::same_column(i), n = first + P::column(i);
      bias[i] = like < i ? bias[like] : n < columns ? g.bias[group + n] : 0.0F;
    }
    RESNET_UNROLL
    for (int i = 0; i < kSums; ++i) sums[i] += bias[i];
  }
  RESNET_UNROLL
  for (int i = 0; i < kSums; i += kPair) {
    const int m = operands.at.row + P::row(i), n = first + P::column(i);
    if (m >= rows || n >= columns) continue;
    const std::int64_t at = part + std::int64_t{m} * width + group + n;
    float v[kPair];
    RESNET_UNROLL
    for (int e = 0; e < kPair; ++e) v[e] = sums[i + e];
    if (kPass == Pass::input_gradient && addend != nullptr) {
      const auto more = load_chunk<kPair>(addend + at);
      RESNET_UNROLL
      for (int e = 0; e < kPair; ++e) v[e] += to_float(more.v[e]);
    }
    Chunk<TY, kPair> result;
    round_all(result.v, v);
    store_chunk(y + at, result);
  }
}

/// TA: x or dy of the left operand; TB: weights or dy of the right one; TY: the result. kCount neighbours are
/// loaded as one: then a group's channels are multiples of it.
template <class P, class TA, class TB, class TY, Pass kPass, int kCount>
RESNET_WORD void gemm(const GemmArgs& g) {
  using Memory = GemmShared<P, kPass>;
  using A = typename Memory::A;
  using B = typename Memory::B;
  using S = typename P::Element;
  GemmOperands<kPass, Walk<A, kCount>> operands(g, P::kDepth);
  const auto load = [&](int step) {
    const int k0 = operands.first + step * P::kDepth;
    const int half = step % 2 * (A::kBytes + B::kBytes);
    operands.with_a(k0, [&](const auto& at) { load_tile<A, S, TA, kCount>(shared<S>(half), at, g.a); });
    load_tile<B, S, TB, kCount>(
        shared<S>(half + A::kBytes), [&](int column, int k) { return operands.b(column, k0 + k); }, g.b);
    operands.next_stage();
    commit();
  };
  float sums[kSums] = {};
  const int steps = (operands.end - operands.first + P::kDepth - 1) / P::kDepth;
  if (steps > 0) load(0);
  RESNET_NO_UNROLL
  for (int step = 0; step < steps; ++step) {
    wait<0>();
    sync();  // what was copied is there for all, and all are done with the other half
    if (step + 1 < steps) load(step + 1);
    const int half = step % 2 * (A::kBytes + B::kBytes);
    P::template multiply<A, B>(sums, shared<S>(half), shared<S>(half + A::kBytes));
  }
  store_sums<P, TY, kPass, kCount % 2 == 0 ? P::kNeighbours : 1>(g, operands, sums);
}

}  // namespace resnet::device
