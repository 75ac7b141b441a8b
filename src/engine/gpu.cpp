#include "engine/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/training.h"
#include "engine/checks.h"
#include "engine/gate.h"
#include "engine/layout.h"
#include "engine/native_options.h"
#include "engine/native_state.h"
#include "engine/step_inputs.h"
#include "engine/training_plans.h"
#include "gpu/executor.h"
#include "gpu/target.h"
#include "graph/names.h"

namespace resnet::engine {
namespace {

using Kind = PlanKind;

gpu::Target target_of(const EngineOptions& options) {
  return gpu::Target(options.precision == Precision::tf32 ? gpu::Products::tf32 : gpu::Products::f32);
}

// CUDA's number of a version: 13010 is 13.1.
std::string version_text(std::int32_t number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

class GpuEngine : public PlannedEngine {
 public:
  GpuEngine(Network network, EngineOptions options, const resnet_device_api& api, int number)
      : network_(std::move(network)),
        options_(std::move(options)),
        threads_(threads_of(options_)),
        target_(target_of(options_)),
        device_(api, number),
        state_(network_, options_.optimizer, 1),
        arena_(device_),
        plans_(network_, options_, target_, state_, [this](plan::Plan plan) {
          return std::make_unique<gpu::Executor>(std::move(plan), device_);
        }) {}

  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("step()");
    gpu::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    const StepResult result = run_step(executor, images, targets, inputs);
    state_.count_update(executor.finite());
    return result;
  }

  StepResult gradients(const ImageView& images, const Targets& targets) override {
    const Gate::Pass pass = gate_.change("gradients()");
    gpu::Executor& executor = compiled(Kind::gradients, images.shape, targets.mixed());
    const StepResult result = run_step(executor, images, targets, {});
    finite_ = finite_ && executor.finite();
    has_gradients_ = true;
    return result;
  }

  void apply(const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("apply()");
    check_gradients();
    gpu::Executor& executor = compiled(Kind::apply, {});
    if (std::exchange(gradients_are_lent_, false)) push();
    write_inputs(executor, inputs);
    executor.run();
    mirrored_ = false;
    state_.count_update(executor.finite());
  }

  Tensor infer(const ImageView& images) override {
    const Gate::Pass pass = gate_.read();
    gpu::Executor& executor = compiled(Kind::infer, images.shape);
    write_images(executor, images);
    write_seed(executor);
    executor.run();
    const plan::Slot& slot = *executor.plan().output(graph::kOutput);
    std::vector<float> native(static_cast<std::size_t>(slot.shape.elements()));
    executor.read(slot, native.data());
    Tensor result(slot.shape);
    activation_from_native(slot.shape, native.data(), result.values().data(), 0, slot.shape[0]);
    return result;
  }

  State state(StateScope scope) const override {
    const Gate::Pass pass = gate_.read();
    pull();
    return state_.values(scope);
  }
  void set_state(const State& state) override {
    const Gate::Pass pass = gate_.change("set_state()");
    pull();
    state_.set_values(state);
    finite_ = true;
    push();
    arena_.state_has_changed();
  }

  State gradient_values() const override {
    const Gate::Pass pass = gate_.read();
    check_gradients();
    pull();
    return state_.gradient_values();
  }
  std::vector<GradientSpan> gradient_spans() override {
    const Gate::Pass pass = gate_.read();
    check_gradients();
    pull();
    gradients_are_lent_ = true;
    return state_.gradient_spans();
  }

  bool finite() const override {
    const Gate::Pass pass = gate_.read();
    return finite_ && state_.finite();
  }
  std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                          const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("find_nonfinite()");
    pull();
    if (auto found = nonfinite_before(state_.values(StateScope::all), images)) return found;
    gpu::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    write_step(executor, images, targets, inputs);
    mirrored_ = false;
    const auto found = executor.run_until_nonfinite();
    if (!found) return std::nullopt;
    return place_of(executor.plan(), found->call, found->kind);
  }

  DeviceInfo device() const override {
    const resnet_device_facts& facts = device_.facts();
    return {.kind = device_.name(),
            .name = facts.name,
            .target = facts.architecture == 0 ? "emulated" : fmt::format("sm_{}", facts.architecture),
            .threads = threads_.count,
            .threads_from = threads_.from,
            .libraries = facts.runtime == 0
                             ? ""
                             : fmt::format("CUDA {}, driver for CUDA {}", version_text(facts.runtime),
                                           version_text(facts.driver))};
  }

  std::vector<CallTime> profile(const ImageView& images, const Targets& targets,
                                const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("profile()");
    gpu::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    std::vector<double> seconds(executor.plan().calls.size(), 0.0);
    write_step(executor, images, targets, inputs);
    executor.run_timed(seconds);
    mirrored_ = false;
    state_.count_step();
    state_.count_update(executor.finite());
    return call_times(executor.plan(), seconds);
  }

  std::int64_t arena_bytes() const override {
    const Gate::Pass pass = gate_.read();
    return arena_.bytes();
  }
  std::string plan_text(const Shape& images, Mode mode) override {
    const Gate::Pass pass = gate_.read();
    return plan::to_string(plans_.planned(mode == Mode::train ? Kind::step : Kind::infer, images).plan());
  }
  // On the device: what the process needs besides is the mirror of the state.
  ArenaBytes planned_bytes(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    return plans_.bytes_for(images, work, mixed, 1);
  }
  std::int64_t memory() const override { return options_.memory; }
  std::optional<std::int64_t> device_memory_left() const override {
    const Gate::Pass pass = gate_.read();
    return device_.free_bytes();
  }

 private:
  void check_gradients() const {
    if (!has_gradients_) throw ConfigError("there are no gradients yet", "call gradients() first");
  }

  // The state's values lie on the device; state_ is their mirror for whoever reads or sets them.
  void pull() const {
    if (mirrored_ || arena_.state() == nullptr) return;
    device_.copy(state_.arena().state(), arena_.state(), mirrored_bytes_);
    device_.synchronize();
    mirrored_ = true;
  }
  void push() {
    if (arena_.state() == nullptr) return;
    device_.copy(arena_.state(), state_.arena().state(), mirrored_bytes_);
    device_.synchronize();
    mirrored_ = true;
  }

  // With memory to run in.
  gpu::Executor& compiled(Kind kind, const Shape& images, bool mixed = false) {
    return plans_.bound(kind, images, mixed, [&](gpu::Executor& executor) {
      reserve();
      executor.bind(arena_);
    });
  }

  // Room for all plans, so that it grows once, and for new state on both sides.
  void reserve() {
    const std::int64_t work = plans_.largest().work;
    const std::int64_t state = state_.layout().bytes();
    pull();
    state_.arena().reserve(state, 0, 0);
    const bool first = arena_.state() == nullptr;
    try {
      if (!arena_.reserve(state, work)) return;
    } catch (...) {
      plans_.unbind_all();
      throw;
    }
    plans_.unbind_all();
    mirrored_bytes_ = state;
    if (first) push();
  }

  void write_images(gpu::Executor& executor, const ImageView& images) {
    staging_.resize(static_cast<std::size_t>(images.shape.elements()));
    images_to_native(images, staging_.data(), 0, images.shape[0]);
    executor.write(*executor.plan().input(graph::kImages), staging_.data());
  }

  static auto writer_of(gpu::Executor& executor) {
    return [&executor](const plan::Slot& slot, const void* from) { executor.write(slot, from); };
  }

  void write_seed(gpu::Executor& executor) const {
    engine::write_seed(executor.plan(), {options_.seed, state_.steps()}, writer_of(executor));
  }

  void write_inputs(gpu::Executor& executor, const StepInputs& inputs) const {
    write_update(executor.plan(), options_.optimizer, inputs, state_.updates() + 1, writer_of(executor));
  }

  void write_step(gpu::Executor& executor, const ImageView& images, const Targets& targets,
                  const StepInputs& inputs) {
    const plan::Plan& plan = executor.plan();
    check_targets(targets, images.shape[0], plan.output(graph::kOutput)->shape[1]);
    write_images(executor, images);
    write_targets(plan, targets, writer_of(executor));
    write_inputs(executor, inputs);
    write_seed(executor);
  }

  StepResult run_step(gpu::Executor& executor, const ImageView& images, const Targets& targets,
                      const StepInputs& inputs) {
    const plan::Plan& plan = executor.plan();
    write_step(executor, images, targets, inputs);
    gradients_are_lent_ = false;
    mirrored_ = false;
    executor.run();
    state_.count_step();
    StepResult result;
    executor.read(*plan.output(compiler::kLossSum), &result.loss_sum);
    executor.read(*plan.output(compiler::kCorrect), &result.correct);
    return result;
  }

  Network network_;  // without its state
  EngineOptions options_;
  ThreadCount threads_;  // of the host
  gpu::Target target_;
  mutable Gate gate_;  // of all that follows
  mutable gpu::Device device_;
  NativeState state_;
  gpu::Arena arena_;
  TrainingPlans<gpu::Executor> plans_;
  std::vector<float> staging_;       // images in the order of the plan
  std::int64_t mirrored_bytes_ = 0;  // of the state, on both sides
  mutable bool mirrored_ = true;     // what the device has is in state_
  bool gradients_are_lent_ = false;  // and may have been written in the mirror
  bool has_gradients_ = false;
  bool finite_ = true;  // all that gradients() left in running statistics
};

class GpuInferenceEngine final : public GpuEngine {
 public:
  using GpuEngine::GpuEngine;
  void set_state(const State&) override { throw not_trainable("set_state()"); }
};

}  // namespace

std::unique_ptr<PlannedEngine> make_gpu_engine(Network network, const EngineOptions& options,
                                               const resnet_device_api& api, int number) {
  check(options.loss);
  return std::make_unique<GpuEngine>(std::move(network), options, api, number);
}

std::unique_ptr<PlannedEngine> make_gpu_inference_engine(Network network, const EngineOptions& options,
                                                         const resnet_device_api& api, int number) {
  return std::make_unique<GpuInferenceEngine>(std::move(network), options, api, number);
}

std::string gpu_plan_text(Network network, const EngineOptions& options, const Shape& images, Mode mode) {
  const NativeState state(network, options.optimizer, 1);  // its places
  const graph::Graph graph = mode == Mode::train
                                 ? step_graph(network, options, images, compiler::StepKind::update, false)
                                 : answer_graph(network, images);
  return plan::to_string(compiled_plan(graph, target_of(options), state.layout(), options));
}

}  // namespace resnet::engine
