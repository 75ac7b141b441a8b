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

/// Fills a tile; at(row, k) is the address of an element and of its neighbours, or null for zeros. What needs
/// no rounding and comes by 16 bytes is copied beside the products: it is there after a wait. `any` is an
/// address of the operand.
template <class TileT, class S, class T, int kCount, class At>
RESNET_WORD void load_tile(Shared<S> tile, const At& at, int depth, const void* any) {
  constexpr int kInner = TileT::kInnerExtent / kCount;
  constexpr bool kAsync = std::is_same_v<S, T> && kCount * sizeof(T) == 16;
  for (int i = thread(); i < kTile * depth / kCount; i += kGemmThreads) {
    const int inner = i % kInner * kCount, outer = i / kInner;
    const bool deep = TileT::kOrder == Inner::depth;
    const int row = deep ? outer : inner, k = deep ? inner : outer;
    const T* from = at(row, k);
    const Shared<S> to = tile + TileT::at(row, k);
    if constexpr (kAsync) {
      copy16_async(to, from != nullptr ? from : any, from != nullptr);
    } else {
      Chunk<S, kCount> chunk = {};
      if (from != nullptr) {
        const auto given = load_chunk<kCount>(from);
        float values[kCount];
        RESNET_UNROLL
        for (int e = 0; e < kCount; ++e) values[e] = to_float(given.v[e]);
        round_all(chunk.v, values);
      }
      to.template as<Chunk<S, kCount>>().store(0, chunk);
    }
  }
}

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

/// Addresses of the operands of a pass.
template <class TA, class TB, Pass kPass>
struct GemmOperands {
  const GemmArgs& g;
  GemmBlock at;
  int cig, cog, taps;

  RESNET_WORD explicit GemmOperands(const GemmArgs& args)
      : g(args), at(args), cig(args.ci / args.groups), cog(args.co / args.groups), taps(args.kh * args.kw) {}

  RESNET_WORD int rows() const {
    return kPass == Pass::forward          ? g.n * g.ho * g.wo
           : kPass == Pass::input_gradient ? g.n * g.h * g.w
                                           : taps * cig;
  }
  RESNET_WORD int columns() const { return kPass == Pass::input_gradient ? cig : cog; }
  RESNET_WORD int depth() const {
    return kPass == Pass::forward          ? taps * cig
           : kPass == Pass::input_gradient ? taps * cog
                                           : g.n * g.ho * g.wo;
  }

  /// x where output `pixel` meets tap, channel c of the group.
  RESNET_WORD const TA* x_at(int pixel, int tap, int c) const {
    const int of_image = g.ho * g.wo, image = pixel / of_image, oh = pixel % of_image / g.wo,
              ow = pixel % g.wo;
    const int h = oh * g.sh - g.ph + tap / g.kw * g.dh, w = ow * g.sw - g.pw + tap % g.kw * g.dw;
    if (h < 0 || h >= g.h || w < 0 || w >= g.w) return nullptr;
    return static_cast<const TA*>(g.a) + ((std::int64_t{image} * g.h + h) * g.w + w) * g.ci + at.group * cig +
           c;
  }
  /// dy that input `pixel` reaches by tap, channel c of the group.
  RESNET_WORD const TA* dy_at(int pixel, int tap, int c) const {
    const int of_image = g.h * g.w, image = pixel / of_image, h = pixel % of_image / g.w, w = pixel % g.w;
    const int rows = h + g.ph - tap / g.kw * g.dh, columns = w + g.pw - tap % g.kw * g.dw;
    if (rows < 0 || columns < 0 || rows % g.sh != 0 || columns % g.sw != 0) return nullptr;
    const int oh = rows / g.sh, ow = columns / g.sw;
    if (oh >= g.ho || ow >= g.wo) return nullptr;
    return static_cast<const TA*>(g.a) + ((std::int64_t{image} * g.ho + oh) * g.wo + ow) * g.co +
           at.group * cog + c;
  }

  RESNET_WORD const TA* a(int row, int k, int end) const {
    const int m = at.row + row;
    if (m >= rows() || k >= end) return nullptr;
    if constexpr (kPass == Pass::forward) return x_at(m, k / cig, k % cig);
    if constexpr (kPass == Pass::input_gradient) return dy_at(m, k / cog, k % cog);
    return x_at(k, m / cig, m % cig);
  }
  RESNET_WORD const TB* b(int column, int k, int end) const {
    const int n = at.column + column;
    if (n >= columns() || k >= end) return nullptr;
    const auto* from = static_cast<const TB*>(g.b);
    if constexpr (kPass == Pass::input_gradient)
      return from + (std::int64_t{k / cog} * cig + n) * g.co + at.group * cog + k % cog;
    return from + std::int64_t{k} * g.co + at.group * cog + n;
  }
};

/// The tiles of a pass in shared memory.
template <class P, Pass kPass>
struct GemmShared {
  using S = typename P::Element;
  using A = Tile<S, kPass == Pass::weight_gradient ? Inner::row : Inner::depth>;
  using B = Tile<S, kPass == Pass::input_gradient ? Inner::depth : Inner::row>;
};

/// TA: x or dy of the left operand; TB: weights or dy of the right one; TY: the result. kCount neighbours are
/// loaded as one: then a group's channels are multiples of it.
template <class P, class TA, class TB, class TY, Pass kPass, int kCount>
RESNET_WORD void gemm(const GemmArgs& g) {
  using Memory = GemmShared<P, kPass>;
  using A = typename Memory::A;
  using B = typename Memory::B;
  using S = typename P::Element;
  const GemmOperands<TA, TB, kPass> operands(g);
  int first = 0, end = operands.depth();
  if constexpr (kPass == Pass::weight_gradient) {
    first = static_cast<int>(operands.at.share * g.share);
    end = first + static_cast<int>(g.share) < end ? first + static_cast<int>(g.share) : end;
  }
  const auto load = [&](int step) {
    const int k0 = first + step * P::kDepth;
    const int half = step % 2 * (A::kBytes + B::kBytes);
    load_tile<A, S, TA, kCount>(
        shared<S>(half), [&](int row, int k) { return operands.a(row, k0 + k, end); }, P::kDepth, g.a);
    load_tile<B, S, TB, kCount>(
        shared<S>(half + A::kBytes), [&](int column, int k) { return operands.b(column, k0 + k, end); },
        P::kDepth, g.b);
    commit();
  };
  float sums[kSums] = {};
  const int steps = (end - first + P::kDepth - 1) / P::kDepth;
  if (steps > 0) load(0);
  for (int step = 0; step < steps; ++step) {
    wait<0>();
    sync();  // what was copied is there for all, and all are done with the other half
    if (step + 1 < steps) load(step + 1);
    const int half = step % 2 * (A::kBytes + B::kBytes);
    P::template multiply<A, B>(sums, shared<S>(half), shared<S>(half + A::kBytes));
  }
  auto* y = static_cast<TY*>(g.y);
  const auto* addend = static_cast<const TY*>(g.addend);
  const int width = kPass == Pass::input_gradient ? g.ci : g.co;
  const std::int64_t part =
      kPass == Pass::weight_gradient ? operands.at.share * (std::int64_t{operands.rows()} * g.co) : 0;
  RESNET_UNROLL
  for (int i = 0; i < kSums; ++i) {
    const int m = operands.at.row + P::row(i), n = operands.at.column + P::column(i);
    if (m >= operands.rows() || n >= operands.columns()) continue;
    const int c = operands.at.group * operands.columns() + n;
    const std::int64_t at = part + std::int64_t{m} * width + c;
    float v = sums[i];
    if (kPass == Pass::forward && g.bias != nullptr) v += g.bias[c];
    if (kPass == Pass::input_gradient && addend != nullptr) v += to_float(addend[at]);
    y[at] = rounded<TY>(v);
  }
}

}  // namespace resnet::device
