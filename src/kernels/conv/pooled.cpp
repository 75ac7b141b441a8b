#include "kernels/conv/pooled.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/channel_grid.h"
#include "kernels/conv/packed_product.h"
#include "kernels/conv/weight_sums.h"
#include "kernels/norm/moments.h"
#include "kernels/norm/norm_simd.h"
#include "kernels/pool/pool_simd.h"
#include "kernels/storage.h"

namespace resnet::kernels {
namespace conv {
namespace {

using Index = std::int64_t;

// Rows of y in scratch: they, the weights and a piece of x stay in the second level (512 KiB).
constexpr Index kStripBytes = 256 << 10;
// Strips of the forward pass, parts of the weight gradient: enough for a balance between threads.
constexpr Index kEnoughTasks = 32;
// Products of an element of y, which its memory traffic would take: with AVX2 a byte costs as much as six
// (choose.cpp), and y and dy are 28 bytes: they are stored, which reads the line first or has just done so,
// and loaded for statistics and pool, for the gradient's sums, for its application and for dw.
constexpr Index kMostProducts = 160;

/// A strip of an image: rows of y, and the rows of the pool that are made of them.
struct PoolStrip {
  Index begin = 0, end = 0;  // rows of y that count here
  Index seen_end = 0;        // those from `begin` to here are made for its windows; the rest is made again
  Range windows;             // rows of the pool
};

bool pools(const ConvGeometry& conv, const PoolGeometry& pool) {
  return conv.groups == 1 && pool.n == conv.n && pool.c == conv.co && pool.h == conv.ho() &&
         pool.w == conv.wo();
}

// Rows of a pool's windows beyond the first of the next window.
Index overlap(const PoolGeometry& pool) {
  return std::max<Index>(0, pool.kh - pool.sh);
}

// Rows of the pool whose strip fits: as many, and one at least.
Index fitting_windows(const PoolGeometry& pool) {
  const Index rows = kStripBytes / (pool.w * pool.c * Index{sizeof(float)});
  return std::max<Index>(1, (rows - overlap(pool)) / pool.sh);
}

/// Equal strips, in number a function of the shape. They begin where their first window does; those of few
/// images are shorter, but not so short that more than a quarter is made twice.
std::vector<PoolStrip> cut(const PoolGeometry& pool) {
  const Index fitting = fitting_windows(pool);
  const Index least = std::min(fitting, ceil_div(std::max<Index>(1, 4 * overlap(pool)), pool.sh));
  const Index most = std::clamp(pool.n * pool.ho() / kEnoughTasks, least, fitting);
  const Index windows = ceil_div(pool.ho(), ceil_div(pool.ho(), most));
  const auto first_row = [&](Index window) {
    if (window <= 0) return Index{0};
    return window < pool.ho() ? std::max<Index>(0, window * pool.sh - pool.ph) : pool.h;
  };
  std::vector<PoolStrip> strips;
  for (Index first = 0; first < pool.ho(); first += windows) {
    const Index last = std::min(first + windows, pool.ho());
    const Index seen = std::min(pool.h, (last - 1) * pool.sh - pool.ph + pool.kh);
    strips.push_back({first_row(first), first_row(last), std::max(seen, first_row(last)), {first, last}});
  }
  return strips;
}

/// A piece of scratch memory after the other, each in lines of its own.
class Layout {
 public:
  template <class T>
  Index add(Index count) {
    return std::exchange(end_, end_ + ceil_div(count * Index{sizeof(T)}, 64) * 64);
  }
  Index bytes() const { return end_; }

 private:
  Index end_ = 0;
};

template <class T>
T* piece(const Call& call, Index at) noexcept {
  return reinterpret_cast<T*>(call.scratch + at);
}

/// What the two kernels share: the strips, and y of one in scratch. Phase 0 prepares the product.
template <class T, class X, class Y>
class PooledConv : public Kernel {
 public:
  PooledConv(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : g_(conv),
        pool_(pool),
        grid_(conv.n * pool.h * pool.w, conv.co),
        product_(conv, ConvPass::forward, isa, !std::is_same_v<T, X>),
        norm_(norm_functions<Y>(isa)),
        pooling_(pool_functions<Y>(isa)),
        strips_(cut(pool)) {}
  PooledConv(const PooledConv&) = delete;

  Index scratch_bytes() const noexcept override { return scratch_.bytes(); }

 protected:
  static constexpr bool kRounded = PackedProduct<T, Y>::kRounded;

  Cut product_cut() const { return {.columns = product_.chunk_columns(), .rows = 0, .column_stride = 0}; }
  Index row() const noexcept { return g_.wo() * g_.co; }  // elements of y
  Index images_strips() const noexcept { return g_.n * static_cast<Index>(strips_.size()); }
  const PoolStrip& strip(Index number) const noexcept {
    return strips_[static_cast<std::size_t>(number) % strips_.size()];
  }
  Index image(Index number) const noexcept { return number / static_cast<Index>(strips_.size()); }
  // Elements from the start of x to where the strip's rows begin.
  Index origin(Index number) const noexcept {
    return (image(number) * g_.h + strip(number).begin * g_.sh) * g_.w * g_.ci;
  }

  /// Room for y of `rows` rows; the other pieces of scratch come after it.
  void lay_out_rows(Index rows) {
    y_ = scratch_.add<Y>(rows * row());
    sums_ = scratch_.add<float>(kRounded ? rows * g_.wo() * product_.functions().columns : 0);
  }
  void prepare(const Call& call, Index task) const noexcept {
    product_.prepare(call.operand<const X>(0), call.operand<const float>(1), call.operand<const float>(2),
                     call.workspace, task);
  }
  /// The y of a strip's tables.
  Y* make_rows(const Call& call, Index number, const Strip& rows) const noexcept {
    Y* y = piece<Y>(call, y_);
    for (Index panel = 0; panel < product_.panels(); ++panel) {
      product_.multiply({.strip = &rows,
                         .source = call.operand<const X>(0),
                         .prepared = call.workspace,
                         .origin = origin(number) / kWord<T>,
                         .panel = panel,
                         .out = y + panel * product_.functions().columns,
                         .sums = piece<float>(call, sums_)});
    }
    return y;
  }

  ConvGeometry g_;
  PoolTables pool_;
  ChannelGrid grid_;
  PackedProduct<T, Y> product_;
  const NormFunctions<Y>& norm_;
  const PoolFunctions<Y>& pooling_;
  std::vector<PoolStrip> strips_;
  Layout scratch_;

 private:
  Index y_ = 0, sums_ = 0;
};

template <class T, class X, class Y>
class ConvPool final : public PooledConv<T, X, Y> {
 public:
  ConvPool(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : PooledConv<T, X, Y>(conv, pool, isa) {
    Index rows = 0;
    for (const PoolStrip& s : strips_) {
      tables_.push_back(make_strip(product_.problem(), this->product_cut(), 1, s.begin, s.seen_end));
      rows = std::max(rows, s.seen_end - s.begin);
    }
    this->lay_out_rows(rows);
    sign_ = scratch_.template add<float>(g_.co);
    shift_ = scratch_.template add<float>(grid_.period());
    sums_ = scratch_.template add<float>(2 * grid_.period());
    block_ = scratch_.template add<float>(2 * grid_.period());
  }

  std::string_view name() const noexcept override {
    return kWord<T> == 2                     ? "conv_pool/patch6x64_bf16"
           : product_.functions().lanes == 8 ? "conv_pool/patch6x16"
                                             : "conv_pool/patch6x64";
  }
  Index workspace_bytes() const noexcept override {
    return chunks_at() + sums_at(grid_.groups(), 0, kShift) * Index{sizeof(float)};
  }
  int phases() const noexcept override { return 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? product_.prepare_tasks() : phase == 1 ? this->images_strips() : grid_.groups();
  }
  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return this->prepare(call, task);
    phase == 1 ? pool_strip(call, task) : merge(call, task);
  }

 private:
  using PooledConv<T, X, Y>::g_;
  using PooledConv<T, X, Y>::pool_;
  using PooledConv<T, X, Y>::grid_;
  using PooledConv<T, X, Y>::product_;
  using PooledConv<T, X, Y>::strips_;
  using PooledConv<T, X, Y>::scratch_;

  enum Operand : std::uint8_t { kGamma = 3, kChosen, kIndex, kMoments };
  enum Sum : std::uint8_t { kShift, kSum, kSquares, kSums };

  // Behind the product's part of the workspace: [group of channels][strip][kSums] lines.
  Index chunks_at() const noexcept { return ceil_div(product_.prepared_bytes(), 64) * 64; }
  Index sums_at(Index group, Index number, Sum which) const noexcept {
    return ((group * this->images_strips() + number) * kSums + which) * ChannelGrid::kLanes;
  }
  float* sums(const Call& call, Index group, Index number, Sum which) const noexcept {
    return reinterpret_cast<float*>(call.workspace + chunks_at()) + sums_at(group, number, which);
  }
  Index counted(Index number) const noexcept {
    return (this->strip(number).end - this->strip(number).begin) * g_.wo();
  }

  void pool_strip(const Call& call, Index number) const noexcept {
    const PoolStrip& strip = this->strip(number);
    const Y* y = this->make_rows(call, number, tables_[static_cast<std::size_t>(number) % strips_.size()]);
    gather(call, number, y);
    choose(call, this->image(number), strip, y);
  }

  void gather(const Call& call, Index number, const Y* y) const noexcept {
    float* shift = piece<float>(call, shift_);
    float* total = piece<float>(call, sums_);
    choose_shift(y, counted(number), g_.co, shift);
    grid_.repeat(shift);
    this->norm_.sums({.x = y,
                      .count = counted(number) * g_.co,
                      .period = grid_.period(),
                      .shift = shift,
                      .sums = total,
                      .block = piece<float>(call, block_)});
    for (Index group = 0; group < grid_.groups(); ++group) {
      const Index first = grid_.group_begin(group), size = grid_.group_size(group);
      std::copy_n(shift + first, size, sums(call, group, number, kShift));
      store(total + first, size, sums(call, group, number, kSum));
      store(total + grid_.period() + first, size, sums(call, group, number, kSquares));
    }
  }

  // Places of one channel in the period are added together.
  void store(const float* places, Index channels, float* line) const noexcept {
    for (Index i = 0; i < channels; ++i) {
      double sum = 0;
      for (Index repeat = 0; repeat < grid_.period(); repeat += g_.co) sum += double{places[i + repeat]};
      line[i] = static_cast<float>(sum);
    }
  }

  void choose(const Call& call, Index image, const PoolStrip& strip, const Y* y) const noexcept {
    const auto* gamma = call.operand<const float>(kGamma);
    float* sign = piece<float>(call, sign_);
    for (Index i = 0; i < g_.co; ++i) sign[i] = gamma[i] > 0 ? 1.0F : gamma[i] < 0 ? -1.0F : 0.0F;
    // Where all y would begin if the strip stood among them.
    const Y* all = y - (image * pool_.g.h + strip.begin) * this->row();
    const Index first = image * pool_.g.ho();
    this->pooling_.max(pool_, {first + strip.windows.first, first + strip.windows.last}, all, sign,
                       call.operand<Y>(kChosen), call.operand<void>(kIndex));
  }

  void merge(const Call& call, Index group) const noexcept {
    std::array<double, ChannelGrid::kLanes> mean{}, squares{};
    const auto chunk = [&](Index number) {
      return ChunkSums{counted(number), sums(call, group, number, kShift), sums(call, group, number, kSum),
                       sums(call, group, number, kSquares)};
    };
    merge_moments(this->images_strips(), grid_.group_size(group), chunk, mean.data(), squares.data());
    const auto rows = static_cast<double>(g_.n * pool_.g.h * pool_.g.w);
    float* moments = call.operand<float>(kMoments) + grid_.group_begin(group);
    for (Index i = 0; i < grid_.group_size(group); ++i) {
      const auto lane = static_cast<std::size_t>(i);
      const auto rounded = static_cast<float>(mean[lane]);
      moments[i] = rounded;
      moments[g_.co + i] = static_cast<float>(mean[lane] - double{rounded});
      moments[2 * g_.co + i] = static_cast<float>(squares[lane] / rows);
    }
  }

  std::vector<Strip> tables_;
  Index sign_ = 0, shift_ = 0, sums_ = 0, block_ = 0;  // in scratch
};

/// dw = P^T * dy, a part for each of a fixed number of runs of strips.
template <class T, class X, class Y>
class ConvPoolWeightGradient final : public PooledConv<T, X, Y> {
 public:
  ConvPoolWeightGradient(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa)
      : PooledConv<T, X, Y>(conv, pool, isa),
        f_(conv_functions<float>(isa)),
        accumulate_(accumulate_functions<X, Y>(isa)),
        columns_(conv.kh * conv.kw * conv.ci),
        parts_(std::min(kEnoughTasks, this->images_strips()), columns_ * conv.co) {
    const PatchProblem in_numbers = forward_problem(conv);
    const Cut whole = {.columns = columns_, .rows = 0, .column_stride = f_.columns};
    Index rows = 0;
    for (const PoolStrip& s : strips_) {
      products_.push_back(make_strip(product_.problem(), this->product_cut(), 1, s.begin, s.end));
      pixels_.push_back(make_strip(in_numbers, whole, 1, s.begin, s.end));
      rows = std::max(rows, s.end - s.begin);
    }
    this->lay_out_rows(rows);
    const Index panels = f_.panels(g_.co);
    dz_ = scratch_.template add<Y>(this->row());
    table_ = scratch_.template add<float>(kTables * grid_.period());
    sums_ = scratch_.template add<float>(panels * f_.columns * columns_);
    packed_ = scratch_.template add<float>(accumulate_.packed_floats(panels));
  }

  std::string_view name() const noexcept override {
    return std::is_same_v<Y, BFloat16> ? "conv_pool_weight_gradient/patch6x64_bf16"
           : f_.lanes == 8             ? "conv_pool_weight_gradient/patch6x16"
                                       : "conv_pool_weight_gradient/patch6x64";
  }
  Index workspace_bytes() const noexcept override { return parts_at() + parts_.bytes(); }
  int phases() const noexcept override { return parts_.number() == 1 ? 2 : 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? product_.prepare_tasks() : phase == 1 ? parts_.number() : parts_.sum_tasks();
  }
  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return this->prepare(call, task);
    if (phase == 1) return accumulate(call, task);
    parts_.sum(f_, call.operand<float>(kDw), call.workspace + parts_at(), task);
  }

 private:
  using PooledConv<T, X, Y>::g_;
  using PooledConv<T, X, Y>::pool_;
  using PooledConv<T, X, Y>::grid_;
  using PooledConv<T, X, Y>::product_;
  using PooledConv<T, X, Y>::strips_;
  using PooledConv<T, X, Y>::scratch_;

  enum Operand : std::uint8_t { kDz = 3, kIndex, kZ, kTable, kDw };
  enum Table : std::uint8_t { kCentre, kScaleDz, kScaleX, kConstant, kTables };

  Index parts_at() const noexcept { return ceil_div(product_.prepared_bytes(), 64) * 64; }
  float* table(const Call& call, Table which) const noexcept {
    return piece<float>(call, table_) + which * grid_.period();
  }

  void accumulate(const Call& call, Index part) const noexcept {
    for (const Table which : {kCentre, kScaleDz, kScaleX, kConstant}) {
      std::copy_n(call.operand<const float>(kTable) + which * g_.co, g_.co, table(call, which));
      grid_.repeat(table(call, which));
    }
    float* sums = piece<float>(call, sums_);
    std::fill_n(sums, f_.panels(g_.co) * f_.columns * columns_, 0.0F);
    AccumulateArgs<X, Y> args;
    args.source_end = call.operand<const X>(0) + g_.n * g_.h * g_.w * g_.ci;
    args.outputs = g_.co;
    args.sums = sums;
    args.sums_stride = columns_ * f_.columns;
    args.packed = piece<float>(call, packed_);
    const Index strips = this->images_strips(), end = strips * (part + 1) / parts_.number();
    for (Index number = strips * part / parts_.number(); number < end; ++number) {
      args.source = call.operand<const X>(0) + this->origin(number);
      args.dy = make_gradient(call, number);
      for (const Chunk& chunk : pixels_[static_cast<std::size_t>(number) % strips_.size()])
        accumulate_chunk(accumulate_, chunk, 1, args);
    }
    float* dw = parts_.part(call.operand<float>(kDw), call.workspace + parts_at(), part);
    store_sums(sums, columns_, g_.co, f_.columns, dw, g_.co);
  }

  /// dy of a strip, in the place of its y.
  const Y* make_gradient(const Call& call, Index number) const noexcept {
    Y* y = this->make_rows(call, number, products_[static_cast<std::size_t>(number) % strips_.size()]);
    Y* dz = piece<Y>(call, dz_);
    const PoolStrip& strip = this->strip(number);
    for (Index i = 0; i < strip.end - strip.begin; ++i) {
      const Index row = this->image(number) * pool_.g.h + strip.begin + i;
      Y* dy = y + i * this->row();
      this->pooling_.max_gradient(pool_, {row, row + 1}, call.operand<const Y>(kDz),
                                  call.operand<const void>(kIndex), call.operand<const Y>(kZ), dz, nullptr);
      this->norm_.gradient_apply({.dz = dz,
                                  .x = dy,
                                  .z = nullptr,
                                  .signs = nullptr,
                                  .count = this->row(),
                                  .period = grid_.period(),
                                  .mean = table(call, kCentre),
                                  .scale_dz = table(call, kScaleDz),
                                  .scale_x = table(call, kScaleX),
                                  .offset = table(call, kConstant),
                                  .dx = dy,
                                  .dresidual = nullptr});
    }
    return y;
  }

  const ConvFunctions& f_;
  const AccumulateFunctions<X, Y>& accumulate_;
  Index columns_;
  WeightParts parts_;
  std::vector<Strip> products_, pixels_;
  Index dz_ = 0, table_ = 0, sums_ = 0, packed_ = 0;  // in scratch
};

template <template <class, class, class> class K>
std::unique_ptr<Kernel> make(const ConvGeometry& conv, const PoolGeometry& pool, Isa isa,
                             ConvStorage storage) {
  check(conv);
  if (!pools(conv, pool)) throw ShapeError("convolution and pool: more than one group, or not its result");
  check_storage(storage.out, isa);
  if (storage.out != DType::bf16) return std::make_unique<K<float, float, float>>(conv, pool, isa);
  if (storage.in != DType::bf16) return std::make_unique<K<float, float, BFloat16>>(conv, pool, isa);
  if (conv.ci % 2 == 0) return std::make_unique<K<BFloat16, BFloat16, BFloat16>>(conv, pool, isa);
  return std::make_unique<K<float, BFloat16, BFloat16>>(conv, pool, isa);
}

}  // namespace
}  // namespace conv

bool conv_pool_serves(const ConvGeometry& g, const PoolGeometry& pool) {
  if (!conv::pools(g, pool) || g.kh * g.kw * g.ci > conv::kMostProducts) return false;
  const std::int64_t windows = conv::fitting_windows(pool);
  const std::int64_t rows = windows * pool.sh + conv::overlap(pool);
  return rows * pool.w * pool.c * std::int64_t{sizeof(float)} <= conv::kStripBytes &&
         8 * conv::overlap(pool) <= windows * pool.sh;
}

std::unique_ptr<Kernel> make_conv_pool(const ConvGeometry& g, const PoolGeometry& pool, Isa isa,
                                       ConvStorage storage) {
  return conv::make<conv::ConvPool>(g, pool, isa, storage);
}

std::unique_ptr<Kernel> make_conv_pool_weight_gradient(const ConvGeometry& g, const PoolGeometry& pool,
                                                       Isa isa, ConvStorage storage) {
  return conv::make<conv::ConvPoolWeightGradient>(g, pool, isa, storage);
}

}  // namespace resnet::kernels
