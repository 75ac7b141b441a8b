#include "kernels/norm/norm.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/channel_grid.h"
#include "kernels/norm/norm_simd.h"
#include "kernels/pool/pool_simd.h"
#include "kernels/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;
using GroupSums = std::array<double, ChannelGrid::kLanes>;

/// What the three kernels share: the grid; in the workspace tables of one period, then sums of chunks.
class NormKernel : public Kernel {
 public:
  explicit NormKernel(const NormGeometry& geometry) : g_(geometry), grid_(geometry.rows(), geometry.c) {
    if (g_.pool) pool_.emplace(*g_.pool);
  }

 protected:
  Index table_bytes(int tables) const noexcept { return tables * grid_.period() * Index{sizeof(float)}; }
  Index sums_bytes(int kinds) const noexcept { return grid_.sums_size(kinds) * Index{sizeof(float)}; }

  float* table(std::byte* memory, int i) const noexcept {
    return reinterpret_cast<float*>(memory) + i * grid_.period();
  }

  /// Writes the number of `channel` wherever it stands in the period.
  void spread(float* table, Index channel, double value) const noexcept {
    const auto rounded = static_cast<float>(value);
    for (Index j = channel; j < grid_.period(); j += grid_.channels()) table[j] = rounded;
  }

  /// Elements of a row of pixels.
  Index row() const noexcept { return pool_->g.w * g_.c; }

  /// Rows of the pool's windows whose first row begins in a chunk.
  Range windows_of(Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk), end = begin + grid_.count(chunk);
    const auto first = [&](Index element) { return pool_->rows_above((element + row() - 1) / row()); };
    return {first(begin), first(end)};
  }

  NormGeometry g_;
  ChannelGrid grid_;
  std::optional<PoolTables> pool_;
};

/// What training and evaluation share: operands x, gamma, beta, running mean and variance, residual
/// (if add), then z; and the tables of z = (x - mean) * scale + offset.
///
/// As that rises or falls with x in each channel, a pool takes the largest or smallest x of each window,
/// where its result will stand, and z is computed from those.
template <class T>
class NormForward : public NormKernel {
 public:
  NormForward(const NormGeometry& geometry, Isa isa)
      : NormKernel(geometry),
        functions_(norm_functions<T>(isa)),
        pooling_(pool_functions<T>(isa)),
        applied_(pool_ ? pool_->g.n * pool_->g.ho() * pool_->g.wo() : geometry.rows(), geometry.c) {}

 protected:
  enum Table : std::uint8_t { kMean, kScale, kOffset, kTables };

  int outputs() const noexcept { return g_.add ? 6 : 5; }

  /// The mean is rounded to f32, so that x - mean is exact where they are close; what the rounding left
  /// goes into the offset.
  void set_tables(const Call& call, Index channel, double mean, double inv_std) const noexcept {
    const double rounded = static_cast<double>(static_cast<float>(mean));
    const double scale = double{call.operand<const float>(1)[channel]} * inv_std;
    spread(table(call.workspace, kMean), channel, rounded);
    spread(table(call.workspace, kScale), channel, scale);
    spread(table(call.workspace, kOffset), channel,
           double{call.operand<const float>(2)[channel]} - (mean - rounded) * scale);
  }

  /// The x that the pool chooses from the windows that begin in a chunk. `index`: its operand. `signs`:
  /// memory for a table.
  void choose(const Call& call, Index chunk, int index, float* signs) const noexcept {
    const auto* gamma = call.operand<const float>(1);
    for (Index i = 0; i < g_.c; ++i) signs[i] = gamma[i] > 0 ? 1.0F : gamma[i] < 0 ? -1.0F : 0.0F;
    pooling_.max(*pool_, windows_of(chunk), call.operand<const T>(0), signs, call.operand<T>(outputs()),
                 call.operand<void>(index));
  }

  Index apply_tasks() const noexcept { return applied_.chunks(); }
  /// `signs`: their operand, or -1.
  void apply(const Call& call, Index task, int signs) const noexcept {
    const Index begin = applied_.begin(task);
    T* z = call.operand<T>(outputs()) + begin;
    functions_.apply({.x = pool_ ? z : call.operand<const T>(0) + begin,
                      .residual = g_.add ? call.operand<const T>(5) + begin : nullptr,
                      .count = applied_.count(task),
                      .period = applied_.period(),
                      .mean = table(call.workspace, kMean),
                      .scale = table(call.workspace, kScale),
                      .offset = table(call.workspace, kOffset),
                      .relu = g_.relu,
                      .z = z,
                      .signs = signs < 0 ? nullptr : call.operand<std::uint8_t>(signs) + begin / 8});
  }

  const NormFunctions<T>& functions_;

 private:
  const PoolFunctions<T>& pooling_;
  ChannelGrid applied_;
};

template <class T>
class NormTrain final : public NormForward<T> {
 public:
  using NormForward<T>::NormForward;
  std::string_view name() const noexcept override { return "norm_train/sums+apply"; }
  int sweeps(std::size_t operand) const noexcept override { return operand == 0 ? 2 : 1; }
  Index workspace_bytes() const noexcept override { return table_bytes(kTables) + sums_bytes(kSums); }
  Index scratch_bytes() const noexcept override {
    return table_bytes(kSums + 2);  // sums and their block
  }
  int phases() const noexcept override { return 3; }
  Index tasks(int phase) const noexcept override {
    return phase == 0 ? grid_.chunks() : phase == 1 ? grid_.groups() : apply_tasks();
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return gather(call, task);
    if (phase == 1) return merge(call, task);
    apply(call, apply_tasks() - 1 - task, g_.signs ? outputs() + 5 : -1);
  }

 private:
  using NormForward<T>::g_;
  using NormForward<T>::grid_;
  using NormForward<T>::functions_;
  using NormForward<T>::table_bytes;
  using NormForward<T>::sums_bytes;
  using NormForward<T>::table;
  using NormForward<T>::kTables;
  using NormForward<T>::outputs;
  using NormForward<T>::set_tables;
  using NormForward<T>::apply_tasks;
  using NormForward<T>::pool_;
  using NormForward<T>::choose;
  using NormForward<T>::apply;

  enum Sum : std::uint8_t { kShift, kSum, kSquares, kSums };

  float* sums(const Call& call) const noexcept { return table(call.workspace, kTables); }

  void gather(const Call& call, Index chunk) const noexcept {
    const T* x = call.operand<const T>(0) + grid_.begin(chunk);
    float* shift = table(call.scratch, kShift);
    choose_shift(x, grid_.rows(chunk), shift);
    functions_.sums({.x = x,
                     .count = grid_.count(chunk),
                     .period = grid_.period(),
                     .shift = shift,
                     .sums = table(call.scratch, kSum),
                     .block = table(call.scratch, kSums)});
    for (Index group = 0; group < grid_.groups(); ++group) {
      std::copy_n(shift + grid_.group_begin(group), grid_.group_size(group),
                  sums(call) + grid_.sums_at(group, chunk, kShift, kSums));
    }
    grid_.store_sums(table(call.scratch, kSum), sums(call), chunk, kSum, kSums);
    grid_.store_sums(table(call.scratch, kSquares), sums(call), chunk, kSquares, kSums);
    if (pool_) choose(call, chunk, outputs() + 5, table(call.scratch, kSum));
  }

  // Close to the mean of most data, and unharmed by an outlier: of eight rows spread over the chunk, a
  // middle value of the even and of the odd ones, averaged. At a shift that is D deviations off, the
  // error of the variance grows by 1 + D^2.
  void choose_shift(const T* x, Index rows, float* shift) const noexcept {
    const auto row = [&](Index eighth) { return x + rows * eighth / 8 * g_.c; };
    const std::array<const T*, 8> v = {row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)};
    for (Index i = 0; i < g_.c; ++i) {
      const auto at = [&](std::size_t k) { return static_cast<float>(v[k][i]); };
      const float even = std::max(std::min(at(0), at(2)), std::min(at(4), at(6)));
      const float odd = std::max(std::min(at(1), at(3)), std::min(at(5), at(7)));
      shift[i] = 0.5F * even + 0.5F * odd;
    }
    grid_.repeat(shift);
  }

  // Sums about many shifts become sums about the common mean: with d = value - shift over n values
  // and e = mean - shift, sum (value - mean)^2 = sum d^2 - e * (2 * sum d - n * e).
  // Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
  void merge(const Call& call, Index group) const noexcept {
    const auto lanes = static_cast<std::size_t>(grid_.group_size(group));
    const auto line = [&](Index chunk, Sum which) {
      return sums(call) + grid_.sums_at(group, chunk, which, kSums);
    };
    GroupSums mean{};
    for (Index chunk = 0; chunk < grid_.chunks(); ++chunk) {
      const auto n = static_cast<double>(grid_.rows(chunk));
      const float* shift = line(chunk, kShift);
      const float* sum = line(chunk, kSum);
      for (std::size_t i = 0; i < lanes; ++i) mean[i] += n * double{shift[i]} + double{sum[i]};
    }
    for (double& m : mean) m /= static_cast<double>(g_.rows());
    GroupSums squares{};
    for (Index chunk = 0; chunk < grid_.chunks(); ++chunk) {
      const auto n = static_cast<double>(grid_.rows(chunk));
      const float* shift = line(chunk, kShift);
      const float* sum = line(chunk, kSum);
      const float* square = line(chunk, kSquares);
      for (std::size_t i = 0; i < lanes; ++i) {
        const double e = mean[i] - double{shift[i]};
        squares[i] += double{square[i]} - e * (2.0 * double{sum[i]} - n * e);
      }
    }
    for (Index i = 0; i < grid_.group_size(group); ++i) {
      const auto lane = static_cast<std::size_t>(i);
      const double sum = squares[lane] < 0 ? 0.0 : squares[lane];  // rounding; NaN stays NaN
      finish(call, grid_.group_begin(group) + i, mean[lane], sum);
    }
  }

  void finish(const Call& call, Index channel, double mean, double squares) const noexcept {
    const auto rows = static_cast<double>(g_.rows());
    const double inv_std = 1.0 / std::sqrt(squares / rows + g_.eps);
    set_tables(call, channel, mean, inv_std);
    call.operand<float>(outputs() + 1)[channel] = static_cast<float>(mean);
    call.operand<float>(outputs() + 2)[channel] = static_cast<float>(inv_std);
    const auto update = [&](int old, int updated, double value) {
      float* out = call.operand<float>(updated);
      if (out == nullptr) return;
      const double running = double{call.operand<const float>(old)[channel]};
      out[channel] = static_cast<float>((1.0 - g_.momentum) * running + g_.momentum * value);
    };
    update(3, outputs() + 3, mean);
    update(4, outputs() + 4, squares / std::max(rows - 1.0, 1.0));
  }
};

template <class T>
class NormEval final : public NormForward<T> {
 public:
  using NormForward<T>::NormForward;
  std::string_view name() const noexcept override { return "norm_eval/apply"; }
  Index workspace_bytes() const noexcept override { return table_bytes(kTables); }
  int phases() const noexcept override { return 2; }
  Index scratch_bytes() const noexcept override { return pool_ ? table_bytes(1) : 0; }
  Index tasks(int phase) const noexcept override {
    if (phase == 1) return apply_tasks();
    return grid_.groups() + (pool_ ? grid_.chunks() : 0);
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 1) return apply(call, task, -1);
    if (task < grid_.groups()) return prepare(call, task);
    choose(call, task - grid_.groups(), outputs() + 1, table(call.scratch, 0));
  }

 private:
  using NormForward<T>::g_;
  using NormForward<T>::grid_;
  using NormForward<T>::table;
  using NormForward<T>::table_bytes;
  using NormForward<T>::kTables;
  using NormForward<T>::outputs;
  using NormForward<T>::set_tables;
  using NormForward<T>::apply_tasks;
  using NormForward<T>::pool_;
  using NormForward<T>::choose;
  using NormForward<T>::apply;

  void prepare(const Call& call, Index group) const noexcept {
    const Index first = grid_.group_begin(group);
    for (Index channel = first; channel < first + grid_.group_size(group); ++channel) {
      const double variance = double{call.operand<const float>(4)[channel]};
      set_tables(call, channel, double{call.operand<const float>(3)[channel]},
                 1.0 / std::sqrt(variance + g_.eps));
    }
  }
};

template <class T>
class NormGradient final : public NormKernel {
 public:
  NormGradient(const NormGeometry& geometry, Isa isa)
      : NormKernel(geometry), functions_(norm_functions<T>(isa)), pooling_(pool_functions<T>(isa)) {
    if (!pool_) return;
    for (Index chunk = 0; chunk < grid_.chunks(); ++chunk)
      made_ = std::max(made_, rows_of(chunk).size() * row());
  }
  std::string_view name() const noexcept override { return "norm_gradient/sums+apply"; }
  int sweeps(std::size_t operand) const noexcept override {
    return operand < static_cast<std::size_t>(outputs()) ? 2 : 1;
  }
  Index workspace_bytes() const noexcept override { return table_bytes(kTables) + sums_bytes(kSums); }
  Index scratch_bytes() const noexcept override {
    return table_bytes(2 * kSums + 1) + made_ * Index{sizeof(T)};
  }
  int phases() const noexcept override { return 3; }
  Index tasks(int phase) const noexcept override { return phase == 1 ? grid_.groups() : grid_.chunks(); }

  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 0) return gather(call, task);
    if (phase == 1) return merge(call, task);
    apply(call, grid_.chunks() - 1 - task);  // from the end: that part is still in the cache
  }

 private:
  enum Table : std::uint8_t { kCentre, kScaleDz, kScaleX, kConstant, kTables };
  enum Sum : std::uint8_t { kSumDz, kSumDzX, kSumX, kSums };

  float* sums(const Call& call) const noexcept { return table(call.workspace, kTables); }
  int outputs() const noexcept { return 5 + (pool_ ? 1 : 0) + (g_.relu ? 1 : 0); }

  /// dz of a chunk, and its z or signs or null where they play no part.
  struct Gradient {
    const T *dz, *z;
    const std::uint8_t* signs;
  };
  Gradient gradient(const Call& call, Index chunk) const noexcept {
    const auto* dz = call.operand<const T>(0);
    const Index begin = grid_.begin(chunk);
    if (g_.signs) return {dz + begin, nullptr, call.operand<const std::uint8_t>(outputs() - 1) + begin / 8};
    const T* z = g_.relu ? call.operand<const T>(outputs() - 1) : nullptr;
    if (!pool_) return {dz + begin, z != nullptr ? z + begin : nullptr, nullptr};
    auto* made = reinterpret_cast<T*>(table(call.scratch, 2 * kSums + 1));
    const Range rows = rows_of(chunk);
    pooling_.max_gradient(*pool_, rows, dz, call.operand<const std::byte>(5), z, made,
                          call.operand<const T>(1) + rows.first * row());
    return {made + (begin - rows.first * row()), nullptr, nullptr};
  }

  void sum(const Call& call, Index chunk, const float* mean) const noexcept {
    const Gradient from = gradient(call, chunk);
    functions_.gradient_sums({.dz = from.dz,
                              .x = call.operand<const T>(1) + grid_.begin(chunk),
                              .z = from.z,
                              .signs = from.signs,
                              .count = grid_.count(chunk),
                              .period = grid_.period(),
                              .mean = mean,
                              .sums = table(call.scratch, 0),
                              .block = table(call.scratch, kSums)});
  }

  // Behind a pool only the chosen x have a dz.
  void sum_chosen(const Call& call, Index chunk, const float* mean) const noexcept {
    const auto* x = call.operand<const T>(1);
    functions_.sums({.x = x + grid_.begin(chunk),
                     .count = grid_.count(chunk),
                     .period = grid_.period(),
                     .shift = mean,
                     .sums = table(call.scratch, kSumX),  // and squares, which nobody reads
                     .block = table(call.scratch, kSums + 1)});
    for (const Sum which : {kSumDz, kSumDzX}) std::fill_n(table(call.scratch, which), grid_.period(), 0.0F);
    pooling_.chosen_sums(*pool_, windows_of(chunk), call.operand<const T>(0),
                         call.operand<const std::byte>(5),
                         g_.relu ? call.operand<const T>(outputs() - 1) : nullptr, x, mean,
                         table(call.scratch, kSumDz), grid_.period(), table(call.scratch, kSums));
  }

  Range rows_of(Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk);
    return {begin / row(), (begin + grid_.count(chunk) + row() - 1) / row()};
  }

  void gather(const Call& call, Index chunk) const noexcept {
    float* mean = table(call.scratch, 2 * kSums);
    std::copy_n(call.operand<const float>(3), g_.c, mean);
    grid_.repeat(mean);
    pool_ ? sum_chosen(call, chunk, mean) : sum(call, chunk, mean);
    for (int which = 0; which < kSums; ++which) {
      grid_.store_sums(table(call.scratch, which), sums(call), chunk, which, kSums);
    }
  }

  void merge(const Call& call, Index group) const noexcept {
    const auto lanes = static_cast<std::size_t>(grid_.group_size(group));
    std::array<GroupSums, kSums> total{};
    for (Index chunk = 0; chunk < grid_.chunks(); ++chunk) {
      for (int which = 0; which < kSums; ++which) {
        const float* line = sums(call) + grid_.sums_at(group, chunk, which, kSums);
        GroupSums& sum = total[static_cast<std::size_t>(which)];
        for (std::size_t i = 0; i < lanes; ++i) sum[i] += double{line[i]};
      }
    }
    for (Index i = 0; i < grid_.group_size(group); ++i) {
      const auto lane = static_cast<std::size_t>(i);
      finish(call, grid_.group_begin(group) + i, total[kSumDz][lane], total[kSumDzX][lane],
             total[kSumX][lane]);
    }
  }

  // With a = gamma * inv_std: dx = a * (dz - sum(dz) / rows - xhat * sum(dz * xhat) / rows).
  void finish(const Call& call, Index channel, double sum_dz, double sum_dz_x, double sum_x) const noexcept {
    const auto rows = static_cast<double>(g_.rows());
    const double mean = double{call.operand<const float>(3)[channel]};
    const double inv_std = double{call.operand<const float>(4)[channel]};
    // The mean came rounded to f32, which is much where it is 1000 standard deviations; the sum of
    // x - mean tells by how much. A mean that is off by more was meant to be.
    double rest = sum_x / rows;
    if (!(std::abs(rest) <= 0x1p-23 * std::abs(mean))) rest = 0;
    const double dgamma = inv_std * (sum_dz_x - rest * sum_dz);
    const double scale_dz = double{call.operand<const float>(2)[channel]} * inv_std;
    const double scale_x = -scale_dz * inv_std * dgamma / rows;
    spread(table(call.workspace, kCentre), channel, mean);
    spread(table(call.workspace, kScaleDz), channel, scale_dz);
    spread(table(call.workspace, kScaleX), channel, scale_x);
    spread(table(call.workspace, kConstant), channel, -scale_dz * sum_dz / rows - scale_x * rest);
    call.operand<float>(outputs() + 1)[channel] = static_cast<float>(dgamma);
    call.operand<float>(outputs() + 2)[channel] = static_cast<float>(sum_dz);
  }

  void apply(const Call& call, Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk);
    T* dresidual = g_.add ? call.operand<T>(outputs() + 3) : nullptr;
    const Gradient from = gradient(call, chunk);
    functions_.gradient_apply({.dz = from.dz,
                               .x = call.operand<const T>(1) + begin,
                               .z = from.z,
                               .signs = from.signs,
                               .count = grid_.count(chunk),
                               .period = grid_.period(),
                               .mean = table(call.workspace, kCentre),
                               .scale_dz = table(call.workspace, kScaleDz),
                               .scale_x = table(call.workspace, kScaleX),
                               .offset = table(call.workspace, kConstant),
                               .dx = call.operand<T>(outputs()) + begin,
                               .dresidual = dresidual != nullptr ? dresidual + begin : nullptr});
  }

  const NormFunctions<T>& functions_;
  const PoolFunctions<T>& pooling_;
  Index made_ = 0;  // elements of dz in scratch
};

}  // namespace

bool norm_carries(const PoolGeometry& pool) {
  constexpr Index kLongestRow = 8 * 1024;  // elements; the shortest chunk is twice that
  constexpr Index kTaskElements = 32 * 1024;
  const Index step = std::max<Index>(pool.sh, kTaskElements / (pool.w * pool.c));
  return pool.w * pool.c <= kLongestRow && 2 * (pool.kh - pool.sh) <= step;
}

std::unique_ptr<Kernel> make_norm_train(const NormGeometry& g, Isa isa, DType storage) {
  return make_stored<NormTrain>(storage, isa, g);
}
std::unique_ptr<Kernel> make_norm_eval(const NormGeometry& g, Isa isa, DType storage) {
  return make_stored<NormEval>(storage, isa, g);
}
std::unique_ptr<Kernel> make_norm_gradient(const NormGeometry& g, Isa isa, DType storage) {
  return make_stored<NormGradient>(storage, isa, g);
}

}  // namespace resnet::kernels
