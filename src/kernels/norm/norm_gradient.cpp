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

template <class T>
class NormGradient final : public NormKernel {
 public:
  NormGradient(const NormGeometry& geometry, Isa isa)
      : NormKernel(geometry),
        functions_(norm_functions<T>(isa)),
        pooling_(max_pool_functions<T>(isa)),
        sums_(grid_.sums(kSums)),
        name_(std::string("norm_gradient/") + (geometry.stats_from_producer ? "" : "sums+") +
              (geometry.coefficients_only ? "coefficients" : "apply")) {
    if (!pool_) return;
    for (Index chunk = 0; chunk < grid_.chunks(); ++chunk)
      made_ = std::max(made_, rows_of(chunk).size() * row());
  }
  std::string_view name() const noexcept override { return name_; }
  int sweeps(std::size_t operand) const noexcept override {
    if (operand >= static_cast<std::size_t>(outputs())) return 1;
    return (g_.stats_from_producer ? 0 : 1) + (g_.coefficients_only ? 0 : 1);
  }
  Index workspace_bytes() const noexcept override {
    return vector_bytes(kVectors) + (g_.stats_from_producer ? 0 : sums_.bytes());
  }
  Index scratch_bytes() const noexcept override { return vector_bytes(kScratch) + made_ * Index{sizeof(T)}; }
  int phases() const noexcept override {
    return 1 + (g_.stats_from_producer ? 0 : 1) + (g_.coefficients_only ? 0 : 1);
  }
  Index tasks(int phase) const noexcept override {
    return step(phase) == Step::merge ? sums_.lines() : grid_.chunks();
  }

  void run(const Call& call, int phase, Index task) const noexcept override {
    switch (step(phase)) {
      case Step::accumulate:
        return accumulate(call, task);
      case Step::merge:
        return merge(call, task);
      default:
        return apply(call, grid_.chunks() - 1 - task);  // from the end: that part is still in the cache
    }
  }

 private:
  // The last two say, with the first, where z > 0.
  enum Vector : std::uint8_t { kCentre, kScaleDz, kScaleX, kConstant, kScale, kOffset, kVectors };
  enum Sum : std::uint8_t { kSumDz, kSumDzX, kSumX, kSums };
  enum class Step : std::uint8_t { accumulate, merge, apply };
  // In scratch: sums, their block, mean and gate, and what a pool's gradient spreads.
  enum Scratch : std::uint8_t { kMean = 2 * kSums, kGateScale, kGateOffset, kScratch };

  Step step(int phase) const noexcept { return static_cast<Step>(phase + (g_.stats_from_producer ? 1 : 0)); }
  float* sums(const Call& call) const noexcept { return vector(call.workspace, kVectors); }
  int gate_at() const noexcept { return 5 + (pool_ ? 1 : 0); }
  int sums_at() const noexcept { return gate_at() + (g_.relu ? 1 : 0); }
  int moments_at() const noexcept { return sums_at() + (g_.stats_from_producer ? 1 : 0); }
  int outputs() const noexcept { return moments_at() + (g_.samples != 0 ? 1 : 0); }

  /// dz of a chunk, and what gates it: its z, its mask, or coefficients; all null where there is no gate.
  struct Gradient {
    const T *dz, *z;
    const std::uint8_t* relu_mask;
    const float *scale, *offset;
  };
  Gradient gradient(const Call& call, Index chunk, const float* scale, const float* offset) const noexcept {
    const auto* dz = call.operand<const T>(0);
    const Index begin = grid_.begin(chunk);
    Gradient result = {
        .dz = dz + begin, .z = nullptr, .relu_mask = nullptr, .scale = nullptr, .offset = nullptr};
    if (g_.gate_by_coefficients) {
      result.scale = scale;
      result.offset = offset;
      return result;
    }
    if (g_.relu_mask) {
      result.relu_mask = call.operand<const std::uint8_t>(gate_at()) + begin / 8;
      return result;
    }
    const T* z = g_.relu ? call.operand<const T>(gate_at()) : nullptr;
    if (!pool_) {
      result.z = z != nullptr ? z + begin : nullptr;
      return result;
    }
    auto* made = reinterpret_cast<T*>(vector(call.scratch, kScratch));
    const Range rows = rows_of(chunk);
    pooling_.max_gradient(*pool_, rows, dz, call.operand<const std::byte>(5), z, made,
                          call.operand<const T>(1) + rows.first * row());
    result.dz = made + (begin - rows.first * row());
    return result;
  }

  void sum(const Call& call, Index chunk, const float* mean) const noexcept {
    const Gradient from =
        gradient(call, chunk, vector(call.scratch, kGateScale), vector(call.scratch, kGateOffset));
    functions_.gradient_sums({.dz = from.dz,
                              .x = call.operand<const T>(1) + grid_.begin(chunk),
                              .z = from.z,
                              .relu_mask = from.relu_mask,
                              .gate_scale = from.scale,
                              .gate_offset = from.offset,
                              .count = grid_.count(chunk),
                              .period = grid_.period(),
                              .mean = mean,
                              .sums = vector(call.scratch, 0),
                              .block = vector(call.scratch, kSums)});
  }

  // Behind a pool only the chosen x have a dz.
  void sum_chosen(const Call& call, Index chunk, const float* mean) const noexcept {
    const auto* x = call.operand<const T>(1);
    functions_.sums({.x = x + grid_.begin(chunk),
                     .count = grid_.count(chunk),
                     .period = grid_.period(),
                     .shift = mean,
                     .sums = vector(call.scratch, kSumX),  // and squares, which nobody reads
                     .block = vector(call.scratch, kSums + 1)});
    for (const Sum which : {kSumDz, kSumDzX}) std::fill_n(vector(call.scratch, which), grid_.period(), 0.0F);
    pooling_.chosen_sums(*pool_, windows_of(chunk), call.operand<const T>(0),
                         call.operand<const std::byte>(5),
                         g_.relu ? call.operand<const T>(gate_at()) : nullptr, x, mean,
                         vector(call.scratch, kSumDz), grid_.period(), vector(call.scratch, kSums));
  }

  Range rows_of(Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk);
    return {begin / row(), (begin + grid_.count(chunk) + row() - 1) / row()};
  }

  void accumulate(const Call& call, Index chunk) const noexcept {
    float* mean = vector(call.scratch, kMean);
    std::copy_n(call.operand<const float>(3), g_.c, mean);
    grid_.repeat(mean);
    if (g_.gate_by_coefficients) {
      for (int i = 1; i < 3; ++i) {
        float* gate = vector(call.scratch, kMean + i);
        std::copy_n(call.operand<const float>(gate_at()) + i * g_.c, g_.c, gate);
        grid_.repeat(gate);
      }
    }
    pool_ ? sum_chosen(call, chunk, mean) : sum(call, chunk, mean);
    for (int which = 0; which < kSums; ++which)
      grid_.store_sums(vector(call.scratch, which), sums_, sums(call), chunk, which);
  }

  void merge(const Call& call, Index line) const noexcept {
    const Index begin = sums_.line_begin(line), size = sums_.line_size(line);
    if (g_.stats_from_producer) {
      const auto* given = call.operand<const float>(sums_at());
      for (Index i = begin; i < begin + size; ++i)
        finish(call, i, double{given[i]}, double{given[g_.c + i]}, double{given[2 * g_.c + i]});
      return;
    }
    std::array<ChunkSums::Line, kSums> total;
    for (int which = 0; which < kSums; ++which)
      total[static_cast<std::size_t>(which)] = sums_.total(sums(call), line, which);
    for (Index i = 0; i < size; ++i) {
      const auto lane = static_cast<std::size_t>(i);
      finish(call, begin + i, total[kSumDz][lane], total[kSumDzX][lane], total[kSumX][lane]);
    }
    if (!g_.gate_by_coefficients) return;
    const auto* gate = call.operand<const float>(gate_at());
    for (Index i = begin; i < begin + size; ++i) {
      spread(vector(call.workspace, kScale), i, double{gate[g_.c + i]});
      spread(vector(call.workspace, kOffset), i, double{gate[2 * g_.c + i]});
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
    put(call, call.workspace, outputs(), kCentre, channel, mean);
    put(call, call.workspace, outputs(), kScaleDz, channel, scale_dz);
    put(call, call.workspace, outputs(), kScaleX, channel, scale_x);
    put(call, call.workspace, outputs(), kConstant, channel, -scale_dz * sum_dz / rows - scale_x * rest);
    call.operand<float>(outputs() + 1)[channel] = static_cast<float>(dgamma);
    call.operand<float>(outputs() + 2)[channel] = static_cast<float>(sum_dz);
  }

  void apply(const Call& call, Index chunk) const noexcept {
    const Index begin = grid_.begin(chunk);
    T* dresidual = g_.add ? call.operand<T>(outputs() + 3) : nullptr;
    const Gradient from =
        gradient(call, chunk, vector(call.workspace, kScale), vector(call.workspace, kOffset));
    functions_.gradient_apply({.dz = from.dz,
                               .x = call.operand<const T>(1) + begin,
                               .z = from.z,
                               .relu_mask = from.relu_mask,
                               .gate_scale = from.scale,
                               .gate_offset = from.offset,
                               .count = grid_.count(chunk),
                               .period = grid_.period(),
                               .mean = vector(call.workspace, kCentre),
                               .scale_dz = vector(call.workspace, kScaleDz),
                               .scale_x = vector(call.workspace, kScaleX),
                               .offset = vector(call.workspace, kConstant),
                               .dx = call.operand<T>(outputs()) + begin,
                               .dresidual = dresidual != nullptr ? dresidual + begin : nullptr});
  }

  const NormFunctions<T>& functions_;
  const MaxPoolFunctions<T>& pooling_;
  ChunkSums sums_;
  std::string name_;
  Index made_ = 0;  // elements of dz in scratch
};

}  // namespace

std::unique_ptr<Kernel> make_norm_gradient(const NormGeometry& g, Isa isa, DType storage) {
  return make_stored<NormGradient>(storage, isa, g);
}

}  // namespace resnet::kernels
