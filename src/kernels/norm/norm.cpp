#include "kernels/norm/norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "kernels/norm/norm_kernel.h"
#include "kernels/norm/norm_simd.h"
#include "kernels/pool/pool_simd.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

/// What training and evaluation share: operands x, gamma, beta, running mean and variance, residual
/// (if add), then z; and the coefficients of z = (x - mean) * scale + offset.
///
/// As that rises or falls with x in each channel, a pool takes the largest or smallest x of each window,
/// where its result will stand, and z is computed from those.
template <class T>
class NormForward : public NormKernel {
 public:
  NormForward(const NormGeometry& geometry, Isa isa)
      : NormKernel(geometry),
        functions_(norm_functions<T>(isa)),
        pooling_(max_pool_functions<T>(isa)),
        applied_(pool_ ? pool_->g.n * pool_->g.ho() * pool_->g.wo() : geometry.rows(), geometry.c) {}

 protected:
  enum Vector : std::uint8_t { kMean, kScale, kOffset, kVectors };

  int outputs() const noexcept { return 5 + (g_.add ? 1 : 0) + (g_.stats_from_producer ? 1 : 0); }

  /// The mean is rounded to f32, so that x - mean is exact where they are close; what the rounding left
  /// goes into the offset.
  /// `vectors`: their memory.
  void set_coefficients(const Call& call, std::byte* vectors, Index channel, double mean,
                        double inv_std) const noexcept {
    const double rounded = static_cast<double>(static_cast<float>(mean));
    const double scale = double{call.operand<const float>(1)[channel]} * inv_std;
    put(call, vectors, outputs(), kMean, channel, rounded);
    put(call, vectors, outputs(), kScale, channel, scale);
    put(call, vectors, outputs(), kOffset, channel,
        double{call.operand<const float>(2)[channel]} - (mean - rounded) * scale);
  }

  /// The x that the pool chooses from the windows that begin in a chunk. `index`: its operand. `signs`:
  /// memory for a period.
  void choose(const Call& call, Index chunk, int index, float* signs) const noexcept {
    const auto* gamma = call.operand<const float>(1);
    for (Index i = 0; i < g_.c; ++i) signs[i] = gamma[i] > 0 ? 1.0F : gamma[i] < 0 ? -1.0F : 0.0F;
    pooling_.max(*pool_, windows_of(chunk), call.operand<const T>(0), signs, call.operand<T>(outputs()),
                 call.operand<void>(index));
  }

  Index apply_tasks() const noexcept { return applied_.chunks(); }
  /// `mask`: its operand, or -1.
  void apply(const Call& call, std::byte* vectors, Index task, int mask) const noexcept {
    const Index begin = applied_.begin(task);
    T* z = call.operand<T>(outputs()) + begin;
    functions_.apply({.x = pool_ ? z : call.operand<const T>(0) + begin,
                      .residual = g_.add ? call.operand<const T>(5) + begin : nullptr,
                      .count = applied_.count(task),
                      .period = applied_.period(),
                      .mean = vector(vectors, kMean),
                      .scale = vector(vectors, kScale),
                      .offset = vector(vectors, kOffset),
                      .relu = g_.relu,
                      .z = z,
                      .relu_mask = mask < 0 ? nullptr : call.operand<std::uint8_t>(mask) + begin / 8});
  }

  const NormFunctions<T>& functions_;

 private:
  const MaxPoolFunctions<T>& pooling_;
  ChannelGrid applied_;
};

template <class T>
class NormTrain final : public NormForward<T> {
 public:
  NormTrain(const NormGeometry& geometry, Isa isa)
      : NormForward<T>(geometry, isa),
        sums_(grid_.sums(kSums)),
        name_(std::string("norm_train/") + (geometry.stats_from_producer ? "" : "sums+") +
              (geometry.coefficients_only ? "coefficients" : "apply")) {}
  std::string_view name() const noexcept override { return name_; }
  int sweeps(std::size_t operand) const noexcept override {
    return operand != 0 ? 1 : (g_.stats_from_producer ? 0 : 1) + (g_.coefficients_only ? 0 : 1);
  }
  Index workspace_bytes() const noexcept override {
    return vector_bytes(kVectors) + (g_.stats_from_producer ? 0 : sums_.bytes());
  }
  Index scratch_bytes() const noexcept override {
    return g_.stats_from_producer ? 0 : vector_bytes(kSums + 2);  // sums and their block
  }
  int phases() const noexcept override {
    return 1 + (g_.stats_from_producer ? 0 : 1) + (g_.coefficients_only ? 0 : 1);
  }
  Index tasks(int phase) const noexcept override {
    switch (step(phase)) {
      case Step::accumulate:
        return grid_.chunks();
      case Step::merge:
        return sums_.lines();
      default:
        return apply_tasks();
    }
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    switch (step(phase)) {
      case Step::accumulate:
        return accumulate(call, task);
      case Step::merge:
        return merge(call, task);
      default:
        return apply(call, call.workspace, apply_tasks() - 1 - task, g_.relu_mask ? outputs() + 5 : -1);
    }
  }

 private:
  using NormForward<T>::g_;
  using NormForward<T>::grid_;
  using NormForward<T>::functions_;
  using NormForward<T>::vector_bytes;
  using NormForward<T>::vector;
  using NormForward<T>::kVectors;
  using NormForward<T>::outputs;
  using NormForward<T>::set_coefficients;
  using NormForward<T>::apply_tasks;
  using NormForward<T>::pool_;
  using NormForward<T>::choose;
  using NormForward<T>::apply;

  enum Sum : std::uint8_t { kShift, kSum, kSquares, kSums };
  enum class Step : std::uint8_t { accumulate, merge, apply };

  Step step(int phase) const noexcept { return static_cast<Step>(phase + (g_.stats_from_producer ? 1 : 0)); }
  float* sums(const Call& call) const noexcept { return vector(call.workspace, kVectors); }

  void accumulate(const Call& call, Index chunk) const noexcept {
    const T* x = call.operand<const T>(0) + grid_.begin(chunk);
    float* shift = vector(call.scratch, kShift);
    choose_shift(x, grid_.rows(chunk), g_.c, shift);
    grid_.repeat(shift);
    functions_.sums({.x = x,
                     .count = grid_.count(chunk),
                     .period = grid_.period(),
                     .shift = shift,
                     .sums = vector(call.scratch, kSum),
                     .block = vector(call.scratch, kSums)});
    sums_.store(shift, sums(call), chunk, kShift);
    grid_.store_sums(vector(call.scratch, kSum), sums_, sums(call), chunk, kSum);
    grid_.store_sums(vector(call.scratch, kSquares), sums_, sums(call), chunk, kSquares);
    if (pool_) choose(call, chunk, outputs() + 5, vector(call.scratch, kSum));
  }

  void merge(const Call& call, Index line) const noexcept {
    const auto rows = static_cast<double>(g_.counted());
    const Index begin = sums_.line_begin(line);
    if (g_.stats_from_producer) {
      const float* moments = call.operand<const float>(outputs() - 1);
      for (Index i = begin; i < begin + sums_.line_size(line); ++i)
        finish(call, i, double{moments[i]} + double{moments[g_.c + i]}, rows * double{moments[2 * g_.c + i]});
      return;
    }
    const ChunkSums::Moments merged =
        sums_.moments(sums(call), line, g_.rows(), [&](Index chunk) { return grid_.rows(chunk); });
    for (Index i = 0; i < sums_.line_size(line); ++i) {
      const auto lane = static_cast<std::size_t>(i);
      finish(call, begin + i, merged.mean[lane], merged.squares[lane]);
    }
  }

  void finish(const Call& call, Index channel, double mean, double squares) const noexcept {
    const auto rows = static_cast<double>(g_.counted());
    const double inv_std = 1.0 / std::sqrt(squares / rows + g_.eps);
    set_coefficients(call, call.workspace, channel, mean, inv_std);
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
    return g_.coefficients_only ? "norm_eval/coefficients" : "norm_eval/apply";
  }
  int sweeps(std::size_t operand) const noexcept override {
    return operand == 0 && g_.coefficients_only ? 0 : 1;
  }
  Index prepared_bytes() const noexcept override { return g_.coefficients_only ? 0 : vector_bytes(kVectors); }
  Index prepare_tasks() const noexcept override { return g_.coefficients_only ? 0 : lines(); }
  bool prepares_from(std::size_t operand) const noexcept override { return operand >= 1 && operand <= 4; }
  int phases() const noexcept override { return g_.coefficients_only ? 1 : 2; }
  Index scratch_bytes() const noexcept override { return pool_ ? vector_bytes(1) : 0; }
  Index tasks(int phase) const noexcept override {
    if (phase == 1) return apply_tasks();
    return lines() + (pool_ ? grid_.chunks() : 0);
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    if (phase == 1) return apply(call, call.prepared, task, -1);
    if (task < lines()) return prepare(call, task);
    choose(call, task - lines(), outputs() + 1, vector(call.scratch, 0));
  }

 private:
  using NormForward<T>::g_;
  using NormForward<T>::grid_;
  using NormForward<T>::vector;
  using NormForward<T>::vector_bytes;
  using NormForward<T>::kVectors;
  using NormForward<T>::outputs;
  using NormForward<T>::set_coefficients;
  using NormForward<T>::apply_tasks;
  using NormForward<T>::pool_;
  using NormForward<T>::choose;
  using NormForward<T>::apply;

  Index lines() const noexcept { return grid_.sums(1).lines(); }

  void prepare(const Call& call, Index line) const noexcept {
    const ChunkSums channels = grid_.sums(1);
    const Index first = channels.line_begin(line);
    for (Index channel = first; channel < first + channels.line_size(line); ++channel) {
      const double variance = double{call.operand<const float>(4)[channel]};
      set_coefficients(call, call.prepared, channel, double{call.operand<const float>(3)[channel]},
                       1.0 / std::sqrt(variance + g_.eps));
    }
  }
};

}  // namespace

bool norm_fuses(const PoolGeometry& pool) {
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
}  // namespace resnet::kernels
