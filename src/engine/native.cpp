// The native engine: graph -> plan -> executor.
#include <algorithm>
#include <cstring>

#include "base/cores.h"
#include "base/machine.h"
#include "base/memory.h"
#include "compiler/compile.h"
#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "engine/checks.h"
#include "engine/gate.h"
#include "engine/native_options.h"
#include "engine/native_state.h"
#include "engine/transfer.h"
#include "exec/executor.h"
#include "graph/names.h"
#include "resnet/engine.h"

namespace resnet {
namespace {

using compiler::StepKind;
using engine::Gate;
using engine::kMostPlans;
using graph::Graph;

class NativeEngine final : public PlannedEngine {
 public:
  NativeEngine(Network network, const EngineOptions& options)
      : network_(std::move(network)),
        options_(options),
        isa_(engine::isa_of(options)),
        target_(isa_),
        threads_(engine::threads_of(options)),
        pool_(threads_.count),
        state_(network_, options_.optimizer, threads_.count) {
    compiled_.reserve(kMostPlans);
  }

  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("step()");
    exec::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    const StepResult result = run_step(executor, images, targets, inputs);
    state_.count_update(executor.finite());
    return result;
  }

  StepResult gradients(const ImageView& images, const Targets& targets) override {
    const Gate::Pass pass = gate_.change("gradients()");
    const StepResult result =
        run_step(compiled(Kind::gradients, images.shape, targets.mixed()), images, targets, {});
    has_gradients_ = true;
    return result;
  }

  void apply(const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("apply()");
    check_gradients();
    exec::Executor& executor = compiled(Kind::apply, {});
    write_inputs(executor, inputs);
    executor.run(pool_);
    state_.count_update(executor.finite());
  }

  Tensor infer(const ImageView& images) override {
    const Gate::Pass pass = gate_.read();
    exec::Executor& executor = compiled(Kind::infer, images.shape);
    return engine::answer(executor, pool_, images, {options_.seed, state_.steps()});
  }

  State state(StateScope scope) const override {
    const Gate::Pass pass = gate_.read();
    return state_.values(scope);
  }
  void set_state(const State& state) override {
    const Gate::Pass pass = gate_.change("set_state()");
    state_.set_values(state);
  }

  State gradient_values() const override {
    const Gate::Pass pass = gate_.read();
    check_gradients();
    return state_.gradient_values();
  }
  std::vector<GradientSpan> gradient_spans() override {
    const Gate::Pass pass = gate_.read();
    check_gradients();
    return state_.gradient_spans();
  }

  bool finite() const override {
    const Gate::Pass pass = gate_.read();
    return state_.finite();
  }
  std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                          const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("find_nonfinite()");
    if (auto found = engine::nonfinite_before(state_.values(StateScope::all), images)) return found;
    exec::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    write_step(executor, images, targets, inputs);
    const auto found = executor.run_until_nonfinite(pool_);
    return found ? std::optional(place_of(executor.plan(), *found)) : std::nullopt;
  }

  DeviceInfo device() const override {
    return {.kind = "cpu",
            .name = cpu_model(),
            .target = std::string(name_of(isa_)),
            .threads = threads_.count,
            .threads_from = threads_.from};
  }

  std::vector<CallTime> profile(const ImageView& images, const Targets& targets,
                                const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("profile()");
    exec::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    const plan::Plan& plan = executor.plan();
    std::vector<double> seconds(plan.calls.size(), 0.0);
    run_step(executor, images, targets, inputs, seconds.data());
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
    return state_.arena().bytes();
  }

  std::string plan_text(const Shape& images, Mode mode) override {
    const Gate::Pass pass = gate_.read();
    return plan::to_string(planned(mode == Mode::train ? Kind::step : Kind::infer, images).plan());
  }

  ArenaBytes planned_bytes(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    ArenaBytes bytes;
    const auto add = [&](Kind kind, const Shape& shape, bool second) {
      const plan::Plan& plan = planned(kind, shape, second).plan();
      bytes.work = std::max(bytes.work, plan.work_bytes + plan.prepared_bytes);
      bytes.scratch = std::max(bytes.scratch, plan::aligned(plan.scratch_bytes) * threads_.count);
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

  // A plan for one kind of step, one shape of images, and targets with or without second labels.
  struct Compiled {
    Kind kind;
    Shape images;
    bool mixed;
    std::unique_ptr<exec::Executor> executor;
  };

  void check_gradients() const {
    if (!has_gradients_) throw ConfigError("there are no gradients yet", "call gradients() first");
  }

  Graph graph_of(Kind kind, const Shape& images, bool mixed) {
    if (kind == Kind::apply) return *apply_graph_;
    if (kind == Kind::infer) return engine::reshaped(network_.eval, images).without_updates();
    if (!network_.train) {
      throw ConfigError("this network cannot be trained: it was made for inference",
                        "build it from its module and load the weights into that");
    }
    return compiler::training_step(engine::reshaped(*network_.train, images),
                                   kind == Kind::step ? StepKind::update : StepKind::gradients,
                                   options_.optimizer, {options_.loss, mixed});
  }

  // Compiled; it may not have memory to run in yet.
  exec::Executor& planned(Kind kind, const Shape& images, bool mixed = false) {
    const auto found = std::ranges::find_if(compiled_, [&](const Compiled& c) {
      return c.kind == kind && c.images == images && c.mixed == mixed;
    });
    if (found != compiled_.end()) {
      std::rotate(compiled_.begin(), found, found + 1);  // allocates nothing
      return *compiled_.front().executor;
    }
    Graph graph = graph_of(kind, images, mixed);
    if (kind == Kind::gradients && !apply_graph_) {
      state_.place(graph);
      apply_graph_ = compiler::apply_step(graph, options_.optimizer);
    }
    auto executor = std::make_unique<exec::Executor>(
        compiler::compile(graph, target_, state_.layout(),
                          {.activations = storage_of(options_.precision), .fuse = options_.fuse}));
    if (compiled_.size() == kMostPlans) compiled_.pop_back();
    compiled_.insert(compiled_.begin(), {kind, images, mixed, std::move(executor)});
    return *compiled_.front().executor;
  }

  // With threads and memory to run it.
  exec::Executor& compiled(Kind kind, const Shape& images, bool mixed = false) {
    pool_.start();
    exec::Executor& executor = planned(kind, images, mixed);
    if (executor.is_bound()) return executor;
    try {
      reserve(images);
      executor.bind(state_.arena());
    } catch (...) {  // not enough memory: others shall not ask for as much
      compiled_.erase(compiled_.begin());
      throw;
    }
    return executor;
  }

  // Room for all plans, so that it grows once.
  void reserve(const Shape& images) {
    exec::Arena& arena = state_.arena();
    std::int64_t work = 0, scratch = 0;
    for (const Compiled& c : compiled_) {
      const plan::Plan& plan = c.executor->plan();
      work = std::max(work, plan.work_bytes + plan.prepared_bytes);
      scratch = std::max(scratch, plan.scratch_bytes);
    }
    const std::int64_t state = state_.layout().bytes();
    if (const std::int64_t growth = arena.growth(state, work, scratch); growth > kSmallMemory)
      require_memory(growth, options_.memory, "a network's work on images " + to_string(images));
    try {
      if (!arena.reserve(state, work, scratch)) return;
    } catch (...) {
      unbind_all();
      throw;
    }
    unbind_all();
  }

  void unbind_all() noexcept {
    for (const Compiled& c : compiled_) c.executor->unbind();
  }

  // What changes from update to update.
  void write_inputs(const exec::Executor& executor, const StepInputs& inputs) const {
    const auto values = compiler::step_values(options_.optimizer, inputs, state_.updates() + 1);
    std::array<float, kernels::StepValue::count> stored{};
    std::ranges::transform(values, stored.begin(), [](double value) { return static_cast<float>(value); });
    if (const plan::Slot* slot = executor.plan().input(compiler::kStepInputs))
      engine::write(executor, *slot, stored.data());  // as many as it takes
  }

  void write_step(exec::Executor& executor, const ImageView& images, const Targets& targets,
                  const StepInputs& inputs) {
    const plan::Plan& plan = executor.plan();
    engine::check_targets(targets, images.shape[0], classes_of(plan));
    engine::write_images(executor, pool_, images);
    engine::write(executor, *plan.input(compiler::kLabels), targets.labels.data);
    if (targets.mixed()) {
      engine::write(executor, *plan.input(compiler::kMixedLabels), targets.mixed_labels.data);
      engine::write(executor, *plan.input(compiler::kMix), targets.mix.data);
    }
    write_inputs(executor, inputs);
    engine::write_seed(executor, {options_.seed, state_.steps()});
  }

  StepResult run_step(exec::Executor& executor, const ImageView& images, const Targets& targets,
                      const StepInputs& inputs, double* seconds = nullptr) {
    const plan::Plan& plan = executor.plan();
    write_step(executor, images, targets, inputs);
    executor.run(pool_, seconds);
    state_.count_step();
    StepResult result;
    std::memcpy(&result.loss_sum, executor.data(*plan.output(compiler::kLossSum)), sizeof result.loss_sum);
    std::memcpy(&result.correct, executor.data(*plan.output(compiler::kCorrect)), sizeof result.correct);
    return result;
  }

  static NonFinite place_of(const plan::Plan& plan, const exec::Executor::Found& found) {
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

  static std::int64_t classes_of(const plan::Plan& plan) { return plan.output(graph::kOutput)->shape[1]; }

  Network network_;  // without its state
  EngineOptions options_;
  Isa isa_;
  cpu::Target target_;
  ThreadCount threads_;
  mutable Gate gate_;  // of all that follows
  ThreadPool pool_;
  engine::NativeState state_;
  std::vector<Compiled> compiled_;  // the one that was used last is first
  std::optional<Graph> apply_graph_;
  bool has_gradients_ = false;
};

}  // namespace

std::unique_ptr<PlannedEngine> make_native_engine(Network network, const EngineOptions& options) {
  check(options);
  return std::make_unique<NativeEngine>(std::move(network), options);
}

}  // namespace resnet
