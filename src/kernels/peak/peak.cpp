#include "kernels/peak/peak.h"

#include "kernels/peak/peak_simd.h"

namespace resnet::kernels {
namespace {

constexpr std::int64_t kRounds = 1'000'000;  // 6 million cycles on two units: about 2 ms

class Peak final : public Kernel {
 public:
  Peak(std::int64_t tasks, Isa isa) : tasks_(tasks), functions_(peak_functions(isa)) {}
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

std::unique_ptr<Kernel> make_peak(std::int64_t tasks, Isa isa) {
  return std::make_unique<Peak>(tasks, isa);
}

double peak_flops_per_task(Isa isa) {
  return 2.0 * static_cast<double>(kRounds * kPeakChains * peak_functions(isa).lanes);
}

}  // namespace resnet::kernels
