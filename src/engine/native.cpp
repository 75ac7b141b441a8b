// The native engine: graph -> plan -> executor.
#include <algorithm>
#include <cstring>

#include "base/cores.h"
#include "base/machine.h"
#include "base/memory.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "engine/checks.h"
#include "engine/choice.h"
#include "engine/gate.h"
#include "engine/native_options.h"
#include "engine/native_state.h"
#include "engine/step_inputs.h"
#include "engine/training_plans.h"
#include "engine/transfer.h"
#include "exec/executor.h"
#include "graph/names.h"
#include "resnet/engine.h"

namespace resnet {
namespace {

using engine::Gate;
using Kind = engine::PlanKind;

class NativeEngine final : public PlannedEngine {
 public:
  NativeEngine(Network network, const EngineOptions& options, std::string reason)
      : network_(std::move(network)),
        options_(options),
        reason_(std::move(reason)),
        isa_(engine::isa_of(options)),
        target_(isa_),
        threads_(engine::threads_of(options)),
        pool_(threads_.count),
        state_(network_, options_, threads_.count),
        plans_(network_, options_, target_, state_,
               [](plan::Plan plan) { return std::make_unique<exec::Executor>(std::move(plan)); }) {}

  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("step()");
    exec::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    const StepResult result = run_step(executor, images, targets, inputs);
    state_.count_update(executor.finite());
    return result;
  }

  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    const Gate::Pass pass = gate_.change("gradients()");
    engine::check_share(share, has_gradients_);
    const StepResult result =
        run_step(compiled(Kind::gradients, images.shape, targets.mixed()), images, targets, {}, share);
    has_gradients_ = true;
    return result;
  }

  void apply(const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("apply()");
    engine::check_gradients(has_gradients_);
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
  void swap_average() override {
    const Gate::Pass pass = gate_.change("swap_average()");
    state_.swap_average();
  }

  State gradient_values() const override {
    const Gate::Pass pass = gate_.read();
    engine::check_gradients(has_gradients_);
    return state_.gradient_values();
  }
  std::vector<GradientSpan> gradient_spans() override {
    const Gate::Pass pass = gate_.read();
    engine::check_gradients(has_gradients_);
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
    if (!found) return std::nullopt;
    return engine::place_of(executor.plan(), found->call, found->kind);
  }

  DeviceInfo device() const override { return engine::cpu_device(isa_, threads_, reason_); }

  std::vector<CallTime> profile(const ImageView& images, const Targets& targets,
                                const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("profile()");
    exec::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    std::vector<double> seconds(executor.plan().calls.size(), 0.0);
    run_step(executor, images, targets, inputs, 1, seconds.data());
    state_.count_update(executor.finite());
    return engine::call_times(executor.plan(), seconds);
  }

  std::int64_t arena_bytes() const override {
    const Gate::Pass pass = gate_.read();
    return state_.arena().bytes();
  }

  std::string plan_text(const Shape& images, Mode mode) override {
    const Gate::Pass pass = gate_.read();
    return plan::to_string(plans_.planned(mode == Mode::train ? Kind::step : Kind::infer, images).plan());
  }

  ArenaBytes planned_bytes(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    return plans_.bytes_for(images, work, mixed, threads_.count);
  }

  std::string plan_sha256(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    return plans_.sha256_for(images, work, mixed);
  }
  std::int64_t memory() const override { return options_.memory; }

 private:
  // With threads and memory to run it.
  exec::Executor& compiled(Kind kind, const Shape& images, bool mixed = false) {
    pool_.start();
    return plans_.bound(kind, images, mixed, [&](exec::Executor& executor) {
      reserve(executor.plan(), images);
      executor.bind(state_.arena());
    });
  }

  // Room for all plans, so that it grows once. Where there is not so much, for this one: what was only asked for
  // (planned_bytes()) and is too much stands in nobody's way.
  void reserve(const plan::Plan& plan, const Shape& images) {
    exec::Arena& arena = state_.arena();
    const std::int64_t state = state_.layout().bytes();
    auto [work, scratch] = plans_.largest();
    if (const std::int64_t all = arena.growth(state, work, scratch);
        all > kSmallMemory && all > memory_left(options_.memory)) {
      work = plan.work_bytes + plan.prepared_bytes;
      scratch = plan.scratch_bytes;
    }
    if (const std::int64_t growth = arena.growth(state, work, scratch); growth > kSmallMemory)
      require_memory(growth, options_.memory, "a network's work on images " + to_string(images));
    try {
      if (!arena.reserve(state, work, scratch)) return;
    } catch (...) {
      plans_.unbind_all();
      throw;
    }
    plans_.unbind_all();
  }

  // What changes from update to update.
  void write_inputs(const exec::Executor& executor, const StepInputs& inputs) const {
    engine::write_update(executor.plan(), options_.optimizer, inputs, state_.updates() + 1,
                         engine::writer_of(executor));
  }

  void write_step(exec::Executor& executor, const ImageView& images, const Targets& targets,
                  const StepInputs& inputs, float share = 1) {
    const plan::Plan& plan = executor.plan();
    engine::check_targets(targets, images.shape[0], classes_of(plan));
    write_inputs(executor, inputs);  // refuses before anything is written: other plans' weights lie there too
    engine::write_images(executor, pool_, images);
    engine::write_targets(plan, targets, engine::writer_of(executor));
    engine::write_share(plan, share, engine::writer_of(executor));
    engine::write_seed(plan, {options_.seed, state_.steps()}, engine::writer_of(executor));
  }

  StepResult run_step(exec::Executor& executor, const ImageView& images, const Targets& targets,
                      const StepInputs& inputs, float share = 1, double* seconds = nullptr) {
    const plan::Plan& plan = executor.plan();
    write_step(executor, images, targets, inputs, share);
    executor.run(pool_, seconds);
    state_.count_step();
    StepResult result;
    std::memcpy(&result.loss_sum, executor.data(*plan.output(compiler::kLossSum)), sizeof result.loss_sum);
    std::memcpy(&result.correct, executor.data(*plan.output(compiler::kCorrect)), sizeof result.correct);
    return result;
  }

  static std::int64_t classes_of(const plan::Plan& plan) { return plan.output(graph::kOutput)->shape[1]; }

  Network network_;  // without its state
  EngineOptions options_;
  std::string reason_;  // why this engine
  Isa isa_;
  cpu::Target target_;
  ThreadCount threads_;
  mutable Gate gate_;  // of all that follows
  ThreadPool pool_;
  engine::NativeState state_;
  engine::TrainingPlans<exec::Executor> plans_;
  bool has_gradients_ = false;
};

}  // namespace

std::unique_ptr<PlannedEngine> engine::make_cpu_engine(Network network, const EngineOptions& options,
                                                       std::string reason) {
  check_cpu(options, reason);
  return std::make_unique<NativeEngine>(std::move(network), options, std::move(reason));
}

std::unique_ptr<PlannedEngine> make_native_engine(Network network, const EngineOptions& options) {
  return engine::make_cpu_engine(std::move(network), options, "");
}

}  // namespace resnet
