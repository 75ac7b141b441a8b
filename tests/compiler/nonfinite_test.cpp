// Wherever in a training step a number goes bad, the plan's checked run names the call, and the step is known
// to be bad when it ends, unless nothing follows from that number.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>

#include "base/random.h"
#include "compiler/compile.h"
#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "exec/executor.h"
#include "graph/names.h"
#include "support/networks.h"

namespace resnet {
namespace {

// Does something in one run of a kernel: before its first task, or after its last one.
struct Spoiling {
  std::size_t call = 0;  // none: as many as the plan has
  bool before = false;
  std::function<void()> spoil = {};
};

class Spoiled final : public kernels::Kernel {
 public:
  Spoiled(std::shared_ptr<const Kernel> kernel, std::size_t call, const Spoiling& spoiling)
      : kernel_(std::move(kernel)), call_(call), spoiling_(spoiling) {}
  std::string_view name() const noexcept override { return kernel_->name(); }
  std::int64_t prepared_bytes() const noexcept override { return kernel_->prepared_bytes(); }
  std::int64_t prepare_tasks() const noexcept override { return kernel_->prepare_tasks(); }
  bool prepares_from(std::size_t operand) const noexcept override { return kernel_->prepares_from(operand); }
  std::int64_t workspace_bytes() const noexcept override { return kernel_->workspace_bytes(); }
  std::int64_t scratch_bytes() const noexcept override { return kernel_->scratch_bytes(); }
  int phases() const noexcept override { return kernel_->phases(); }
  std::int64_t tasks(int phase) const noexcept override { return kernel_->tasks(phase); }
  void run(const kernels::Call& call, int phase, std::int64_t task) const noexcept override {
    const bool now = spoiling_.call == call_;
    if (now && spoiling_.before && phase == 0 && task == 0) spoiling_.spoil();
    kernel_->run(call, phase, task);
    const bool last = phase == phases() - 1 && task == tasks(phase) - 1;
    if (now && !spoiling_.before && last) spoiling_.spoil();
  }

 private:
  std::shared_ptr<const Kernel> kernel_;
  std::size_t call_;
  const Spoiling& spoiling_;
};

template <class T>
void write(const exec::Executor& executor, const plan::Plan& plan, const char* name, const T* values) {
  const plan::Slot& slot = *plan.input(name);
  std::memcpy(executor.data(slot), values,
              static_cast<std::size_t>(slot.shape.elements()) * size_of(slot.dtype));
}

// Gives how many of `trials` were caught.
int trials_of(const OptimizerOptions& optimizer, const Isa isa, DType activations, int trials) {
  const nn::Sequential net = test::random_network(
      "d2l_resnet18", {.in_channels = 1, .classes = 5, .blocks = {1, 1}, .channels = {8, 16}});
  const Shape images{3, 1, 32, 28};
  const Network network = network_of(net, images);
  const graph::Graph step =
      compiler::training_step(*network.train, compiler::StepKind::update, optimizer, {});
  plan::StateLayout layout;
  std::vector<std::string> statistics;
  for (const graph::ValueInfo& value : step.values()) {
    if (value.role != graph::Role::parameter && value.role != graph::Role::buffer) continue;
    layout.add(value.name, value.type.shape);
    if (value.role == graph::Role::buffer) statistics.push_back(value.name);
  }
  plan::Plan plan = compiler::compile(step, cpu::Target(isa), layout, {.activations = activations});
  Spoiling spoiling{.call = plan.calls.size()};
  for (std::size_t i = 0; i < plan.calls.size(); ++i)
    plan.calls[i].kernel = std::make_shared<Spoiled>(
        std::dynamic_pointer_cast<const kernels::Kernel>(plan.calls[i].kernel), i, spoiling);
  exec::Executor executor(std::move(plan));
  const plan::Plan& made = executor.plan();
  ThreadPool pool(1);
  exec::Arena arena(1);
  arena.reserve(layout.bytes(), made.work_bytes, made.scratch_bytes);
  executor.bind(arena);

  std::vector<std::byte> before(static_cast<std::size_t>(layout.bytes())), after(before.size());
  for (const auto& [name, tensor] : network.state) {
    if (const plan::StateLayout::Entry* entry = tensor.dtype() == DType::f32 ? layout.find(name) : nullptr)
      std::memcpy(before.data() + entry->offset, tensor.raw(), tensor.bytes());
  }
  const test::Examples e = test::examples(images, 5);
  const auto begin = [&] {
    std::memcpy(arena.state(), before.data(), before.size());
    write(executor, made, graph::kImages, e.images.values().data());
    write(executor, made, compiler::kLabels, e.labels.view<std::int32_t>().data);
    const std::array<float, 3> inputs = {0.01F, 0.9F, 2};
    write(executor, made, compiler::kStepInputs, inputs.data());
  };
  const auto loss_is_finite = [&] {
    double loss = 0;
    std::memcpy(&loss, executor.data(*made.output(compiler::kLossSum)), sizeof loss);
    return std::isfinite(loss);
  };
  const auto statistics_are = [&] {
    return std::ranges::all_of(statistics, [&](const std::string& name) {
      const plan::StateLayout::Entry& entry = *layout.find(name);
      return nonfinite_in(arena.state() + entry.offset, DType::f32, entry.shape.elements()) ==
             NonFiniteKind::none;
    });
  };

  // Of the state from another one: the largest of its values', relative l2.
  const auto distance_of = [&](const std::vector<std::byte>& other) {
    double largest = 0;
    for (const graph::ValueInfo& kept : step.values()) {
      const plan::StateLayout::Entry* const entry = layout.find(kept.name);
      if (entry == nullptr) continue;
      Tensor a(entry->shape), b(entry->shape);
      std::memcpy(a.raw(), arena.state() + entry->offset, a.bytes());
      std::memcpy(b.raw(), other.data() + entry->offset, b.bytes());
      largest = std::max(largest, test::distance(a, b) / std::max(test::norm(b), 1e-30));
    }
    return largest;
  };

  // A step that is sound: nothing is found.
  begin();
  EXPECT_FALSE(executor.run_until_nonfinite(pool).has_value());
  begin();
  executor.run(pool);
  EXPECT_TRUE(loss_is_finite() && executor.finite() && statistics_are());
  std::memcpy(after.data(), arena.state(), after.size());

  const RandomStream dice(static_cast<std::uint64_t>(trials), "trials");
  std::uint64_t next = 0;
  int caught = 0, without_effect = 0;
  while (caught < trials && without_effect < trials) {
    const std::size_t call = dice.word(next++) % made.calls.size();
    const plan::Call& chosen = made.calls[call];
    const bool update = chosen.op == "sgd" || chosen.op == "adamw";
    if (chosen.outputs.empty() || (update && chosen.operands.at(1) < 0)) continue;
    const plan::Output& output = chosen.outputs[dice.word(next++) % chosen.outputs.size()];
    if (output.dtype != DType::f32 && output.dtype != DType::bf16 && output.dtype != DType::f64) continue;
    // Of an update the gradient that it reads: what is in the weights afterwards is another step's.
    const int buffer = update ? chosen.operands[1] : output.buffer;
    const auto element =
        static_cast<std::int64_t>(dice.word(next++) % static_cast<std::uint64_t>(output.elements));
    constexpr double kInf = std::numeric_limits<double>::infinity();
    const double value =
        std::array{std::numeric_limits<double>::quiet_NaN(), kInf, -kInf}.at(dice.word(next++) % 3);
    spoiling.call = call;
    spoiling.before = update;
    spoiling.spoil = [&, buffer, element, value] {
      std::byte* const at = executor.data({.name = {}, .shape = {}, .buffer = buffer});
      if (output.dtype == DType::f64) reinterpret_cast<double*>(at)[element] = value;
      if (output.dtype == DType::f32) reinterpret_cast<float*>(at)[element] = static_cast<float>(value);
      if (output.dtype == DType::bf16)
        reinterpret_cast<BFloat16*>(at)[element] = BFloat16(static_cast<float>(value));
    };
    begin();
    const auto found = executor.run_until_nonfinite(pool);
    const std::string where = chosen.op + " of " + chosen.node;
    if (!found || found->call != call) {
      ADD_FAILURE() << where << ": found in " << (found ? made.calls[found->call].node : "nothing");
      break;
    }
    begin();
    executor.run(pool);
    if (!loss_is_finite() || !executor.finite() || !statistics_are()) {
      ++caught;
    } else {
      // What a ReLU's mask cuts off has no effect. Of the sums for a norm's gradient the third, of x - mean,
      // corrects the mean's rounding alone, and is left out where it is larger than that (norm_gradient.cpp).
      const bool correction = chosen.kernel->name().ends_with("+sums") && &output == &chosen.outputs.back() &&
                              element >= 2 * output.elements / 3;
      EXPECT_LE(distance_of(after), correction ? 1e-6 : 0) << where << ", " << value;
      ++without_effect;
    }
    spoiling.call = made.calls.size();
  }
  std::cout << caught << " caught, " << without_effect << " without effect; " << made.calls.size()
            << " calls\n";
  return caught;
}

TEST(NonFiniteStep, IsNamedByItsCallAndKnownAtItsEnd) {
  const Isa isa = best_isa();
  EXPECT_EQ(trials_of({}, Isa::avx2, DType::f32, 50), 50);
  EXPECT_EQ(trials_of({.method = SgdOptions{.momentum = 0.9, .weight_decay = 0.001}}, isa, DType::f32, 51),
            51);
  EXPECT_EQ(trials_of({.method = AdamWOptions{}}, isa, DType::f32, 52), 52);
  const DType activations = isa == Isa::avx512_bf16 ? DType::bf16 : DType::f32;
  EXPECT_EQ(trials_of({}, isa, activations, 53), 53);
}

}  // namespace
}  // namespace resnet
