#include "engine/gpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/compile.h"
#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "engine/checks.h"
#include "engine/gate.h"
#include "engine/layout.h"
#include "engine/native_options.h"
#include "engine/native_state.h"
#include "gpu/executor.h"
#include "graph/names.h"

namespace resnet::engine {
namespace {

using compiler::StepKind;
using graph::Graph;

Graph step_graph(const Network& network, const EngineOptions& options, const Shape& images, StepKind kind,
                 bool mixed) {
  if (!network.train) {
    throw ConfigError("this network cannot be trained: it was made for inference",
                      "build it from its module and load the weights into that");
  }
  return compiler::training_step(reshaped(*network.train, images), kind, options.optimizer,
                                 {options.loss, mixed});
}
Graph answer_graph(const Network& network, const Shape& images) {
  return reshaped(network.eval, images).without_updates();
}

plan::Plan compiled_plan(const Graph& graph, const gpu::Target& target, const plan::StateLayout& layout,
                         const EngineOptions& options) {
  return compiler::compile(graph, target, layout,
                           {.activations = storage_of(options.precision), .fuse = options.fuse});
}

class GpuEngine final : public PlannedEngine {
 public:
  GpuEngine(Network network, EngineOptions options, const resnet_device_api& api, int number,
            gpu::Products products)
      : network_(std::move(network)),
        options_(std::move(options)),
        target_(products),
        device_(api, number),
        state_(network_, options_.optimizer, 1),
        arena_(device_) {
    compiled_.reserve(kMostPlans);
  }

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
    return found ? std::optional(place_of(executor.plan(), *found)) : std::nullopt;
  }

  DeviceInfo device() const override {
    return {.kind = device_.name(),
            .name = device_.facts().name,
            .target = "sm_" + std::to_string(device_.facts().architecture),
            .threads = 1};
  }

  std::vector<CallTime> profile(const ImageView& images, const Targets& targets,
                                const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("profile()");
    gpu::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    const plan::Plan& plan = executor.plan();
    std::vector<double> seconds(plan.calls.size(), 0.0);
    write_step(executor, images, targets, inputs);
    executor.run_timed(seconds);
    mirrored_ = false;
    state_.count_step();
    state_.count_update(executor.finite());
    std::vector<CallTime> result;
    for (const plan::Call& call : plan.calls) {
      result.push_back({.op = call.op,
                        .node = call.node,
                        .kernel = std::string(call.kernel->name()),
                        .flops = call.flops,
                        .bytes = static_cast<double>(plan.moved_bytes(call)),
                        .seconds = seconds[result.size()]});
    }
    return result;
  }

  std::int64_t arena_bytes() const override {
    const Gate::Pass pass = gate_.read();
    return arena_.bytes();
  }
  std::string plan_text(const Shape& images, Mode mode) override {
    const Gate::Pass pass = gate_.read();
    return plan::to_string(planned(mode == Mode::train ? Kind::step : Kind::infer, images).plan());
  }
  // On the device: what the process needs besides is the mirror of the state.
  ArenaBytes planned_bytes(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    ArenaBytes bytes;
    const auto add = [&](Kind kind, const Shape& shape, bool second) {
      const plan::Plan& plan = planned(kind, shape, second).plan();
      bytes.work = std::max(bytes.work, plan.work_bytes + plan.prepared_bytes);
    };
    if (work == Work::infer) {
      add(Kind::infer, images, false);
    } else {
      add(work == Work::step ? Kind::step : Kind::gradients, images, mixed);
    }
    if (work == Work::gradients) add(Kind::apply, {}, false);
    bytes.state = state_.layout().bytes();
    return bytes;
  }
  std::int64_t memory() const override { return options_.memory; }

 private:
  enum class Kind : std::uint8_t { step, gradients, apply, infer };

  struct Compiled {
    Kind kind;
    Shape images;
    bool mixed;
    std::unique_ptr<gpu::Executor> executor;
  };

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

  Graph graph_of(Kind kind, const Shape& images, bool mixed) {
    if (kind == Kind::apply) return *apply_graph_;
    if (kind == Kind::infer) return answer_graph(network_, images);
    return step_graph(network_, options_, images, kind == Kind::step ? StepKind::update : StepKind::gradients,
                      mixed);
  }

  // Compiled; it may not have memory to run in yet.
  gpu::Executor& planned(Kind kind, const Shape& images, bool mixed = false) {
    const auto found = std::ranges::find_if(compiled_, [&](const Compiled& c) {
      return c.kind == kind && c.images == images && c.mixed == mixed;
    });
    if (found != compiled_.end()) {
      std::rotate(compiled_.begin(), found, found + 1);
      return *compiled_.front().executor;
    }
    Graph graph = graph_of(kind, images, mixed);
    if (kind == Kind::gradients && !apply_graph_) {
      state_.place(graph);
      apply_graph_ = compiler::apply_step(graph, options_.optimizer);
    }
    auto executor =
        std::make_unique<gpu::Executor>(compiled_plan(graph, target_, state_.layout(), options_), device_);
    if (compiled_.size() == kMostPlans) compiled_.pop_back();
    compiled_.insert(compiled_.begin(), {kind, images, mixed, std::move(executor)});
    return *compiled_.front().executor;
  }

  // With memory to run in.
  gpu::Executor& compiled(Kind kind, const Shape& images, bool mixed = false) {
    gpu::Executor& executor = planned(kind, images, mixed);
    if (executor.is_bound()) return executor;
    try {
      reserve();
      executor.bind(arena_);
    } catch (...) {  // not enough memory: others shall not ask for as much
      compiled_.erase(compiled_.begin());
      throw;
    }
    return executor;
  }

  // Room for all plans, so that it grows once, and for new state on both sides.
  void reserve() {
    std::int64_t work = 0;
    for (const Compiled& c : compiled_)
      work = std::max(work, c.executor->plan().work_bytes + c.executor->plan().prepared_bytes);
    const std::int64_t state = state_.layout().bytes();
    pull();
    state_.arena().reserve(state, 0, 0);
    const bool first = arena_.state() == nullptr;
    try {
      if (!arena_.reserve(state, work)) return;
    } catch (...) {
      unbind_all();
      throw;
    }
    unbind_all();
    mirrored_bytes_ = state;
    if (first) push();
  }

  void unbind_all() noexcept {
    for (const Compiled& c : compiled_) c.executor->unbind();
  }

  void write_images(gpu::Executor& executor, const ImageView& images) {
    staging_.resize(static_cast<std::size_t>(images.shape.elements()));
    images_to_native(images, staging_.data(), 0, images.shape[0]);
    executor.write(*executor.plan().input(graph::kImages), staging_.data());
  }

  // What dropout draws its numbers from.
  void write_seed(gpu::Executor& executor) const {
    if (const plan::Slot* slot = executor.plan().input(graph::kSeedStep)) {
      const std::array<std::int64_t, 2> seed_step = {static_cast<std::int64_t>(options_.seed),
                                                     state_.steps()};
      executor.write(*slot, seed_step.data());
    }
  }

  // What changes from update to update.
  void write_inputs(gpu::Executor& executor, const StepInputs& inputs) const {
    const auto values = compiler::step_values(options_.optimizer, inputs, state_.updates() + 1);
    std::array<float, kernels::StepValue::count> stored{};
    std::ranges::transform(values, stored.begin(), [](double value) { return static_cast<float>(value); });
    if (const plan::Slot* slot = executor.plan().input(compiler::kStepInputs))
      executor.write(*slot, stored.data());
  }

  void write_step(gpu::Executor& executor, const ImageView& images, const Targets& targets,
                  const StepInputs& inputs) {
    const plan::Plan& plan = executor.plan();
    check_targets(targets, images.shape[0], plan.output(graph::kOutput)->shape[1]);
    write_images(executor, images);
    executor.write(*plan.input(compiler::kLabels), targets.labels.data);
    if (targets.mixed()) {
      executor.write(*plan.input(compiler::kMixedLabels), targets.mixed_labels.data);
      executor.write(*plan.input(compiler::kMix), targets.mix.data);
    }
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

  static NonFinite place_of(const plan::Plan& plan, const gpu::Executor::Found& found) {
    using Place = NonFinite::Place;
    const plan::Call& call = plan.calls[found.call];
    const bool nan = found.kind == NonFiniteKind::nan;
    const auto first = static_cast<std::size_t>(call.outputs.at(0).buffer);
    if (plan.buffers[first].region == plan::Region::state) return {Place::update, call.node, {}, nan};
    const int loss = plan.output(compiler::kLossSum)->buffer;
    const bool back =
        std::any_of(plan.calls.begin(), plan.calls.begin() + static_cast<std::ptrdiff_t>(found.call),
                    [&](const plan::Call& c) { return c.outputs.at(0).buffer == loss; });
    return {back ? Place::gradient : Place::output, call.node, call.op, nan};
  }

  Network network_;  // without its state
  EngineOptions options_;
  gpu::Target target_;
  mutable Gate gate_;  // of all that follows
  mutable gpu::Device device_;
  NativeState state_;
  gpu::Arena arena_;
  std::vector<Compiled> compiled_;  // the one that was used last is first
  std::optional<Graph> apply_graph_;
  std::vector<float> staging_;       // images in the order of the plan
  std::int64_t mirrored_bytes_ = 0;  // of the state, on both sides
  mutable bool mirrored_ = true;     // what the device has is in state_
  bool gradients_are_lent_ = false;  // and may have been written in the mirror
  bool has_gradients_ = false;
  bool finite_ = true;  // all that gradients() left in running statistics
};

}  // namespace

std::unique_ptr<PlannedEngine> make_gpu_engine(Network network, const EngineOptions& options,
                                               const resnet_device_api& api, int number,
                                               gpu::Products products) {
  check(options.loss);
  return std::make_unique<GpuEngine>(std::move(network), options, api, number, products);
}

std::string gpu_plan_text(Network network, const EngineOptions& options, const Shape& images, Mode mode,
                          gpu::Products products) {
  const NativeState state(network, options.optimizer, 1);  // its places
  const Graph graph = mode == Mode::train ? step_graph(network, options, images, StepKind::update, false)
                                          : answer_graph(network, images);
  return plan::to_string(compiled_plan(graph, gpu::Target(products), state.layout(), options));
}

}  // namespace resnet::engine
