#include "kernels/optimizer/optimizer.h"

#include <algorithm>

#include "kernels/optimizer/optimizer_simd.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

constexpr Index kChunk = 16 * 1024;  // elements of a task

class Sgd final : public Kernel {
 public:
  Sgd(Index elements, Isa isa) : elements_(elements), function_(sgd_function(isa)) {}

  std::string_view name() const noexcept override { return "sgd/sweep"; }
  Index tasks(int) const noexcept override { return (elements_ + kChunk - 1) / kChunk; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Index begin = task * kChunk;
    function_(call.operand<const float>(0) + begin, call.operand<const float>(1) + begin,
              *call.operand<const float>(2), call.operand<float>(3) + begin,
              std::min(kChunk, elements_ - begin));
  }

 private:
  Index elements_;
  SgdFunction function_;
};

}  // namespace

std::unique_ptr<Kernel> make_sgd(std::int64_t elements, Isa isa) {
  return std::make_unique<Sgd>(elements, isa);
}

}  // namespace resnet::kernels
