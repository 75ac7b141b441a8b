#include "kernels/peak/peak.h"

#include "kernels/peak/peak_simd.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

constexpr std::int64_t kRounds = 1'000'000;  // 6 million cycles on two units: about 2 ms

const PeakFunctions& functions(Isa isa, DType type) {
  return type == DType::bf16 ? peak_functions_bf16() : peak_functions(isa);
}

class Peak final : public Kernel {
 public:
  Peak(std::int64_t tasks, const PeakFunctions& functions) : tasks_(tasks), functions_(functions) {}
  std::string_view name() const noexcept override { return "peak/multiply_add"; }
  std::int64_t scratch_bytes() const noexcept override { return sizeof(float); }
  std::int64_t tasks(int) const noexcept override { return tasks_; }
  void run(const Call& call, int, std::int64_t) const noexcept override {
    // Kept, so that no compiler drops the loop.
    *reinterpret_cast<volatile float*>(call.scratch) = functions_.multiply_adds(kRounds);
  }

 private:
  std::int64_t tasks_;
  const PeakFunctions& functions_;
};

}  // namespace

std::unique_ptr<Kernel> make_peak(std::int64_t tasks, Isa isa, DType type) {
  check_storage(type, isa);
  return std::make_unique<Peak>(tasks, functions(isa, type));
}

double peak_flops_per_task(Isa isa, DType type) {
  return 2.0 * static_cast<double>(kRounds * kPeakChains * functions(isa, type).products);
}

}  // namespace resnet::kernels
