#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/conv/direct/packed_product.h"
#include "kernels/conv/direct/repack.h"
#include "kernels/conv/stem/stem.h"
#include "kernels/conv/stem/stem_simd.h"
#include "kernels/conv/stem/strips.h"
#include "kernels/norm/norm_simd.h"
#include "kernels/simd/channel_grid.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels::conv {
namespace {

using Index = std::int64_t;

std::vector<PoolStrip> strips_of(const PoolGeometry& pool, const MatmulFunctions& f) {
  return cut_strips(pool, f.columns, f.columns == kWidestPanel ? kWideStripBytes : kStripBytes);
}

/// y is made a panel of a strip at a time, and chosen from and summed up while it is in the cache. What has
/// the pooled shape is of type Y. Products are of T: of f32, or of bf16 in row pairs.
template <class X, class Y, class T>
class ConvPool final : public PooledConv<X> {
 public:
  ConvPool(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : PooledConv<X>(conv, pool, isa, strips_of(pool, matmul_functions<float>(isa))),
        windows_(window_functions<Y>(isa)),
        norm_(norm_functions<float>(isa)),
        product_(padded_, ConvPass::forward, isa, kPairs),
        grid_(conv.n * pool.h * pool.w, f_.columns),
        chunks_(conv.co, this->strips(), kSums) {
    GemmProblem to_panel = product_.problem();
    to_panel.out_c = f_.columns;
    const Cut cut = {.columns = product_.chunk_columns(), .rows = 0, .column_stride = 0};
    for (const PoolStrip& s : strips_)
      tables_.push_back(make_strip(to_panel, cut, 1, 0, s.seen_end - s.begin));
    y_ = scratch_.template add<float>(this->most_rows() * pool.w * f_.columns);
    shift_ = scratch_.template add<float>(grid_.period());
    sums_ = scratch_.template add<float>(2 * grid_.period());
    block_ = scratch_.template add<float>(2 * grid_.period());
  }

  std::string_view name() const noexcept override {
    if (kPairs) return "conv_pool/patch6x64_bf16";
    return f_.lanes == 8 ? "conv_pool/patch6x16" : "conv_pool/patch6x64";
  }
  Index prepared_bytes() const noexcept override { return product_.packed_bytes(); }
  Index prepare_tasks() const noexcept override { return product_.pack_tasks(); }
  bool prepares_from(std::size_t operand) const noexcept override { return operand == 1 || operand == 2; }
  Index workspace_bytes() const noexcept override { return chunks_.bytes(); }
  int phases() const noexcept override { return 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? product_.pack_tasks() : phase == 1 ? this->strips() : chunks_.lines();
  }
  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 1) return pool_strip(call, task);
    if (phase == 2) return has_moments(call) ? merge(call, task) : void();
    product_.pack(call.operand<const float>(1), call.operand<const float>(2), call.prepared, task);
  }

 private:
  using PooledConv<X>::g_;
  using PooledConv<X>::pool_;
  using PooledConv<X>::f_;
  using PooledConv<X>::strips_;
  using PooledConv<X>::padded_;
  using PooledConv<X>::scratch_;

  static constexpr bool kPairs = std::is_same_v<T, BFloat16>;
  enum Operand : std::uint8_t { kGamma = 3, kChosen, kIndex, kMoments };
  enum Sum : std::uint8_t { kShift, kSum, kSquares, kSums };

  static float* sums(const Call& call) noexcept { return reinterpret_cast<float*>(call.workspace); }
  static bool has_moments(const Call& call) noexcept { return call.operand<float>(kMoments) != nullptr; }
  Index counted_pixels(Index number) const noexcept {
    return (this->strip(number).end - this->strip(number).begin) * pool_.g.w;
  }

  void pool_strip(const Call& call, Index number) const noexcept {
    const T* x = this->template load_x<T>(call, number);
    for (Index panel = 0; panel < this->panels(); ++panel) {
      const float* y = make_y(call, x, number, panel);
      if (has_moments(call)) sum_up(call, number, panel, y);
      windows_.choose({.pool = &pool_,
                       .windows = this->strip(number).windows,
                       .y = y,
                       .y_row = this->strip(number).begin,
                       .channels = this->channels(panel),
                       .gamma = call.operand<const float>(kGamma) + panel * f_.columns,
                       .at = this->pooled_at(number) + panel * f_.columns,
                       .chosen = call.operand<Y>(kChosen),
                       .index = call.operand<void>(kIndex)});
    }
  }

  /// A panel of the strip's y as it would be stored, rounded to Y.
  const float* make_y(const Call& call, const T* x, Index number, Index panel) const noexcept {
    const Strip& rows = tables_[this->which(number)];
    float* y = piece<float>(call.scratch, y_);
    product_.multiply({.strip = &rows, .source = x, .packed = call.prepared, .panel = panel, .out = y});
    const Index pixels = rows.front().row_sets.front().rows_per_image;
    if (windows_.round != nullptr) windows_.round(y, pixels * f_.columns);
    return y;
  }

  void sum_up(const Call& call, Index number, Index panel, const float* y) const noexcept {
    float* shift = piece<float>(call.scratch, shift_);
    float* places = piece<float>(call.scratch, sums_);
    choose_shift(y, counted_pixels(number), f_.columns, shift);
    grid_.repeat(shift);
    norm_.sums({.x = y,
                .count = counted_pixels(number) * f_.columns,
                .period = grid_.period(),
                .shift = shift,
                .sums = places,
                .block = piece<float>(call.scratch, block_)});
    for (Index first = 0; first < this->channels(panel); first += ChunkSums::kLanes) {
      const Index block = (panel * f_.columns + first) / ChunkSums::kLanes;
      const auto line = [&](Sum which) { return sums(call) + chunks_.at(block, number, which); };
      std::copy_n(shift + first, ChunkSums::kLanes, line(kShift));
      add_up(places + first, line(kSum));
      add_up(places + grid_.period() + first, line(kSquares));
    }
  }

  // Places of one channel in the period.
  void add_up(const float* places, float* line) const noexcept {
    for (Index i = 0; i < ChunkSums::kLanes; ++i) {
      double sum = 0;
      for (Index at = i; at < grid_.period(); at += f_.columns) sum += double{places[at]};
      line[i] = static_cast<float>(sum);
    }
  }

  void merge(const Call& call, Index block) const noexcept {
    const Index pixels = grid_.elements() / f_.columns;
    const auto moments =
        chunks_.moments(sums(call), block, pixels, [&](Index number) { return counted_pixels(number); });
    chunks_.store(moments, block, pixels, call.operand<float>(kMoments));
  }

  const WindowFunctions<Y>& windows_;
  const NormFunctions<float>& norm_;
  PackedProduct<T, float> product_;
  ChannelGrid grid_;  // of a panel
  ChunkSums chunks_;  // strips
  std::vector<Strip> tables_;
  Index y_ = 0, shift_ = 0, sums_ = 0, block_ = 0;  // in scratch
};

template <class X, class Y>
using ConvPoolOfFloats = ConvPool<X, Y, float>;
template <class X, class Y>
using ConvPoolOfPairs = ConvPool<X, Y, BFloat16>;

}  // namespace

std::unique_ptr<Kernel> make_stem_forward(const ConvGeometry& g, const PoolGeometry& pool, Isa isa,
                                          ConvStorage storage) {
  if (storage.out == DType::bf16 && pairs_rows(g)) return make_pooled<ConvPoolOfPairs>(g, pool, isa, storage);
  return make_pooled<ConvPoolOfFloats>(g, pool, isa, storage);
}

}  // namespace resnet::kernels::conv
