#include "kernels/norm/norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "kernels/channel_grid.h"
#include "kernels/norm/norm_simd.h"
#include "kernels/pool/pool_simd.h"
#include "kernels/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

/// What the three kernels share: the grid; in the workspace tables of one period, then sums of chunks.
class NormKernel : public Kernel {
 public:
  explicit NormKernel(const NormGeometry& geometry) : g_(geometry), grid_(geometry.rows(), geometry.c) {
    if (g_.pool) pool_.emplace(*g_.pool);
  }

 protected:
  Index table_bytes(int tables) const noexcept { return tables * grid_.period() * Index{sizeof(float)}; }

  float* table(std::byte* memory, int i) const noexcept {
    return reinterpret_cast<float*>(memory) + i * grid_.period();
  }

  /// Writes a number of a channel: into row i of the table that is the result, or wherever the channel stands
  /// in the period of table i.
  void put(const Call& call, int result, int i, Index channel, double value) const noexcept {
    if (g_.table_only) {
      call.operand<float>(result)[i * g_.c + channel] = static_cast<float>(value);
    } else {
      spread(table(call.workspace, i), channel, value);
    }
  }
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

  int outputs() const noexcept { return 5 + (g_.add ? 1 : 0) + (g_.given ? 1 : 0); }

  /// The mean is rounded to f32, so that x - mean is exact where they are close; what the rounding left
  /// goes into the offset.
  void set_tables(const Call& call, Index channel, double mean, double inv_std) const noexcept {
    const double rounded = static_cast<double>(static_cast<float>(mean));
    const double scale = double{call.operand<const float>(1)[channel]} * inv_std;
    put(call, outputs(), kMean, channel, rounded);
    put(call, outputs(), kScale, channel, scale);
    put(call, outputs(), kOffset, channel,
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
  NormTrain(const NormGeometry& geometry, Isa isa)
      : NormForward<T>(geometry, isa),
        sums_(grid_.sums(kSums)),
        name_(std::string("norm_train/") + (geometry.given ? "" : "sums+") +
              (geometry.table_only ? "table" : "apply")) {}
  std::string_view name() const noexcept override { return name_; }
  int sweeps(std::size_t operand) const noexcept override {
    return operand != 0 ? 1 : (g_.given ? 0 : 1) + (g_.table_only ? 0 : 1);
  }
  Index workspace_bytes() const noexcept override {
    return table_bytes(kTables) + (g_.given ? 0 : sums_.bytes());
  }
  Index scratch_bytes() const noexcept override {
    return g_.given ? 0 : table_bytes(kSums + 2);  // sums and their block
  }
  int phases() const noexcept override { return 1 + (g_.given ? 0 : 1) + (g_.table_only ? 0 : 1); }
  Index tasks(int phase) const noexcept override {
    switch (step(phase)) {
      case Step::gather:
        return grid_.chunks();
      case Step::merge:
        return sums_.groups();
      default:
        return apply_tasks();
    }
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    switch (step(phase)) {
      case Step::gather:
        return gather(call, task);
      case Step::merge:
        return merge(call, task);
      default:
        return apply(call, apply_tasks() - 1 - task, g_.signs ? outputs() + 5 : -1);
    }
  }

 private:
  using NormForward<T>::g_;
  using NormForward<T>::grid_;
  using NormForward<T>::functions_;
  using NormForward<T>::table_bytes;
  using NormForward<T>::table;
  using NormForward<T>::kTables;
  using NormForward<T>::outputs;
  using NormForward<T>::set_tables;
  using NormForward<T>::apply_tasks;
  using NormForward<T>::pool_;
  using NormForward<T>::choose;
  using NormForward<T>::apply;

  enum Sum : std::uint8_t { kShift, kSum, kSquares, kSums };
  enum class Step : std::uint8_t { gather, merge, apply };

  Step step(int phase) const noexcept { return static_cast<Step>(phase + (g_.given ? 1 : 0)); }
  float* sums(const Call& call) const noexcept { return table(call.workspace, kTables); }

  void gather(const Call& call, Index chunk) const noexcept {
    const T* x = call.operand<const T>(0) + grid_.begin(chunk);
    float* shift = table(call.scratch, kShift);
    choose_shift(x, grid_.rows(chunk), g_.c, shift);
    grid_.repeat(shift);
    functions_.sums({.x = x,
                     .count = grid_.count(chunk),
                     .period = grid_.period(),
                     .shift = shift,
                     .sums = table(call.scratch, kSum),
                     .block = table(call.scratch, kSums)});
    sums_.store(shift, sums(call), chunk, kShift);
    grid_.store_sums(table(call.scratch, kSum), sums_, sums(call), chunk, kSum);
    grid_.store_sums(table(call.scratch, kSquares), sums_, sums(call), chunk, kSquares);
    if (pool_) choose(call, chunk, outputs() + 5, table(call.scratch, kSum));
  }

  void merge(const Call& call, Index group) const noexcept {
    const auto rows = static_cast<double>(g_.counted());
    const Index begin = sums_.group_begin(group);
    if (g_.given) {
      const float* moments = call.operand<const float>(outputs() - 1);
      for (Index i = begin; i < begin + sums_.group_size(group); ++i)
        finish(call, i, double{moments[i]} + double{moments[g_.c + i]}, rows * double{moments[2 * g_.c + i]});
      return;
    }
    const ChunkSums::Moments merged =
        sums_.moments(sums(call), group, g_.rows(), [&](Index chunk) { return grid_.rows(chunk); });
    for (Index i = 0; i < sums_.group_size(group); ++i) {
      const auto lane = static_cast<std::size_t>(i);
      finish(call, begin + i, merged.mean[lane], merged.squares[lane]);
    }
  }

  void finish(const Call& call, Index channel, double mean, double squares) const noexcept {
    const auto rows = static_cast<double>(g_.counted());
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

  ChunkSums sums_;
  std::string name_;
};

template <class T>
class NormEval final : public NormForward<T> {
 public:
  using NormForward<T>::NormForward;
  std::string_view name() const noexcept override {
    return g_.table_only ? "norm_eval/table" : "norm_eval/apply";
  }
  int sweeps(std::size_t operand) const noexcept override { return operand == 0 && g_.table_only ? 0 : 1; }
  Index workspace_bytes() const noexcept override { return table_bytes(kTables); }
  int phases() const noexcept override { return g_.table_only ? 1 : 2; }
  Index scratch_bytes() const noexcept override { return pool_ ? table_bytes(1) : 0; }
  Index tasks(int phase) const noexcept override {
    if (phase == 1) return apply_tasks();
    return groups() + (pool_ ? grid_.chunks() : 0);
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 1) return apply(call, task, -1);
    if (task < groups()) return prepare(call, task);
    choose(call, task - groups(), outputs() + 1, table(call.scratch, 0));
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

  Index groups() const noexcept { return grid_.sums(1).groups(); }

  void prepare(const Call& call, Index group) const noexcept {
    const ChunkSums channels = grid_.sums(1);
    const Index first = channels.group_begin(group);
    for (Index channel = first; channel < first + channels.group_size(group); ++channel) {
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
      : NormKernel(geometry),
        functions_(norm_functions<T>(isa)),
        pooling_(pool_functions<T>(isa)),
        sums_(grid_.sums(kSums)),
        name_(std::string("norm_gradient/") + (geometry.given ? "" : "sums+") +
              (geometry.table_only ? "table" : "apply")) {
    if (!pool_) return;
    for (Index chunk = 0; chunk < grid_.chunks(); ++chunk)
      made_ = std::max(made_, rows_of(chunk).size() * row());
  }
  std::string_view name() const noexcept override { return name_; }
  int sweeps(std::size_t operand) const noexcept override {
    if (operand >= static_cast<std::size_t>(outputs())) return 1;
    return (g_.given ? 0 : 1) + (g_.table_only ? 0 : 1);
  }
  Index workspace_bytes() const noexcept override {
    return table_bytes(kTables) + (g_.given ? 0 : sums_.bytes());
  }
  Index scratch_bytes() const noexcept override { return table_bytes(kScratch) + made_ * Index{sizeof(T)}; }
  int phases() const noexcept override { return 1 + (g_.given ? 0 : 1) + (g_.table_only ? 0 : 1); }
  Index tasks(int phase) const noexcept override {
    return step(phase) == Step::merge ? sums_.groups() : grid_.chunks();
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    switch (step(phase)) {
      case Step::gather:
        return gather(call, task);
      case Step::merge:
        return merge(call, task);
      default:
        return apply(call, grid_.chunks() - 1 - task);  // from the end: that part is still in the cache
    }
  }

 private:
  // The last two say, with the first, where z > 0.
  enum Table : std::uint8_t { kCentre, kScaleDz, kScaleX, kConstant, kScale, kOffset, kTables };
  enum Sum : std::uint8_t { kSumDz, kSumDzX, kSumX, kSums };
  enum class Step : std::uint8_t { gather, merge, apply };
  // In scratch: sums, their block, mean and gate, and what a pool's gradient spreads.
  enum Scratch : std::uint8_t { kMean = 2 * kSums, kGateScale, kGateOffset, kScratch };

  Step step(int phase) const noexcept { return static_cast<Step>(phase + (g_.given ? 1 : 0)); }
  float* sums(const Call& call) const noexcept { return table(call.workspace, kTables); }
  int gate_at() const noexcept { return 5 + (pool_ ? 1 : 0); }
  int sums_at() const noexcept { return gate_at() + (g_.relu ? 1 : 0); }
  int moments_at() const noexcept { return sums_at() + (g_.given ? 1 : 0); }
  int outputs() const noexcept { return moments_at() + (g_.samples != 0 ? 1 : 0); }

  /// dz of a chunk, and what gates it: its z, its signs, or tables; all null where there is no gate.
  struct Gradient {
    const T *dz, *z;
    const std::uint8_t* signs;
    const float *scale, *offset;
  };
  Gradient gradient(const Call& call, Index chunk, const float* scale, const float* offset) const noexcept {
    const auto* dz = call.operand<const T>(0);
    const Index begin = grid_.begin(chunk);
    Gradient result = {.dz = dz + begin, .z = nullptr, .signs = nullptr, .scale = nullptr, .offset = nullptr};
    if (g_.table_gate) {
      result.scale = scale;
      result.offset = offset;
      return result;
    }
    if (g_.signs) {
      result.signs = call.operand<const std::uint8_t>(gate_at()) + begin / 8;
      return result;
    }
    const T* z = g_.relu ? call.operand<const T>(gate_at()) : nullptr;
    if (!pool_) {
      result.z = z != nullptr ? z + begin : nullptr;
      return result;
    }
    auto* made = reinterpret_cast<T*>(table(call.scratch, kScratch));
    const Range rows = rows_of(chunk);
    pooling_.max_gradient(*pool_, rows, dz, call.operand<const std::byte>(5), z, made,
                          call.operand<const T>(1) + rows.first * row());
    result.dz = made + (begin - rows.first * row());
    return result;
  }

  void sum(const Call& call, Index chunk, const float* mean) const noexcept {
    const Gradient from =
        gradient(call, chunk, table(call.scratch, kGateScale), table(call.scratch, kGateOffset));
    functions_.gradient_sums({.dz = from.dz,
                              .x = call.operand<const T>(1) + grid_.begin(chunk),
                              .z = from.z,
                              .signs = from.signs,
                              .gate_scale = from.scale,
                              .gate_offset = from.offset,
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
                         g_.relu ? call.operand<const T>(gate_at()) : nullptr, x, mean,
                         table(call.scratch, kSumDz), grid_.period(), table(call.scratch, kSums));
  }

  Range rows_of(Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk);
    return {begin / row(), (begin + grid_.count(chunk) + row() - 1) / row()};
  }

  void gather(const Call& call, Index chunk) const noexcept {
    float* mean = table(call.scratch, kMean);
    std::copy_n(call.operand<const float>(3), g_.c, mean);
    grid_.repeat(mean);
    if (g_.table_gate) {
      for (int i = 1; i < 3; ++i) {
        float* gate = table(call.scratch, kMean + i);
        std::copy_n(call.operand<const float>(gate_at()) + i * g_.c, g_.c, gate);
        grid_.repeat(gate);
      }
    }
    pool_ ? sum_chosen(call, chunk, mean) : sum(call, chunk, mean);
    for (int which = 0; which < kSums; ++which)
      grid_.store_sums(table(call.scratch, which), sums_, sums(call), chunk, which);
  }

  void merge(const Call& call, Index group) const noexcept {
    const Index begin = sums_.group_begin(group), size = sums_.group_size(group);
    if (g_.given) {
      const auto* given = call.operand<const float>(sums_at());
      for (Index i = begin; i < begin + size; ++i)
        finish(call, i, double{given[i]}, double{given[g_.c + i]}, double{given[2 * g_.c + i]});
      return;
    }
    std::array<ChunkSums::Group, kSums> total;
    for (int which = 0; which < kSums; ++which)
      total[static_cast<std::size_t>(which)] = sums_.total(sums(call), group, which);
    for (Index i = 0; i < size; ++i) {
      const auto lane = static_cast<std::size_t>(i);
      finish(call, begin + i, total[kSumDz][lane], total[kSumDzX][lane], total[kSumX][lane]);
    }
    if (!g_.table_gate) return;
    const auto* gate = call.operand<const float>(gate_at());
    for (Index i = begin; i < begin + size; ++i) {
      spread(table(call.workspace, kScale), i, double{gate[g_.c + i]});
      spread(table(call.workspace, kOffset), i, double{gate[2 * g_.c + i]});
    }
  }

  // With a = gamma * inv_std: dx = a * (dz - sum(dz) / rows - xhat * sum(dz * xhat) / rows).
  void finish(const Call& call, Index channel, double sum_dz, double sum_dz_x, double sum_x) const noexcept {
    const auto rows = static_cast<double>(g_.counted());
    const double mean = double{call.operand<const float>(3)[channel]};
    const double inv_std = double{call.operand<const float>(4)[channel]};
    // The mean came rounded to f32, which is much where it is 1000 standard deviations; the sum of
    // x - mean tells by how much. A mean that is off by more was meant to be.
    double rest =
        g_.samples != 0 ? double{call.operand<const float>(moments_at())[g_.c + channel]} : sum_x / rows;
    if (!(std::abs(rest) <= 0x1p-23 * std::abs(mean))) rest = 0;
    const double dgamma = inv_std * (sum_dz_x - rest * sum_dz);
    const double scale_dz = double{call.operand<const float>(2)[channel]} * inv_std;
    const double scale_x = -scale_dz * inv_std * dgamma / rows;
    put(call, outputs(), kCentre, channel, mean);
    put(call, outputs(), kScaleDz, channel, scale_dz);
    put(call, outputs(), kScaleX, channel, scale_x);
    put(call, outputs(), kConstant, channel, -scale_dz * sum_dz / rows - scale_x * rest);
    call.operand<float>(outputs() + 1)[channel] = static_cast<float>(dgamma);
    call.operand<float>(outputs() + 2)[channel] = static_cast<float>(sum_dz);
  }

  void apply(const Call& call, Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk);
    T* dresidual = g_.add ? call.operand<T>(outputs() + 3) : nullptr;
    const Gradient from =
        gradient(call, chunk, table(call.workspace, kScale), table(call.workspace, kOffset));
    functions_.gradient_apply({.dz = from.dz,
                               .x = call.operand<const T>(1) + begin,
                               .z = from.z,
                               .signs = from.signs,
                               .gate_scale = from.scale,
                               .gate_offset = from.offset,
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
  ChunkSums sums_;
  std::string name_;
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
