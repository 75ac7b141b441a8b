#include "engine/gpu.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "data/placed.h"
#include "engine/ahead.h"
#include "engine/checks.h"
#include "engine/device_state.h"
#include "engine/flight.h"
#include "engine/gate.h"
#include "engine/gpu_target.h"
#include "engine/native_options.h"
#include "engine/step_inputs.h"
#include "engine/training_plans.h"
#include "graph/names.h"

namespace resnet::engine {
namespace {

using Kind = PlanKind;

class GpuEngine : public AheadEngine {
 public:
  GpuEngine(Network network, EngineOptions options, const resnet_device_api& api, int number)
      : network_(std::move(network)),
        options_(std::move(options)),
        threads_(threads_of(options_)),
        device_(api, number),
        target_(target_of(options_, cudnn_of(device_, options_))),
        state_(network_, options_, device_),
        plans_(network_, options_, target_, state_.mirror(), [this](plan::Plan plan) {
          return std::make_unique<gpu::Executor>(std::move(plan), device_);
        }) {}

  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("step()");
    return finish(ask_step(Kind::step, images, targets, inputs)).result;
  }

  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    const Gate::Pass pass = gate_.change("gradients()");
    check_share(share, has_gradients_);
    if (share < 1) state_.take_spans();
    const StepResult result = finish(ask_step(Kind::gradients, images, targets, {}, share)).result;
    has_gradients_ = true;
    return result;
  }

  void apply(const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("apply()");
    check_gradients(has_gradients_);
    gpu::Executor& executor = compiled(Kind::apply, {});
    state_.take_spans();
    auto flight = next_flight();
    write_inputs(*flight, executor, inputs);
    run(executor);
    state_.mirror().count_update(true);
    flight->receive_mark(executor);
    finish(asked(std::move(flight)));
  }

  Tensor infer(const ImageView& images) override {
    const Gate::Pass pass = gate_.read();
    return finish(ask_answer(images)).outputs;
  }

  std::int64_t depth() const override { return kAhead + 1; }

  std::optional<int> hold(const data::Dataset& set) override {
    const Gate::Pass pass = gate_.read();
    const std::int64_t arena =
        plans_.largest().work + state_.mirror().layout().bytes() - state_.arena().bytes();
    std::int64_t plans = std::max<std::int64_t>(0, arena);
    plans_.for_each([&](const gpu::Executor& executor) { plans += executor.missing_bytes(); });
    return held_.hold(device_, set, device_.free_bytes() - plans - kSpare);
  }
  Size resized_size(int set) const override {
    const Gate::Pass pass = gate_.read();
    return {held_.at(set).resized_height(), held_.at(set).resized_width()};
  }

  Ticket submit(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("submit()");
    return under_way(ask_step(Kind::step, images, targets, inputs));
  }
  Ticket submit(const HeldBatch& batch, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("submit()");
    const std::vector<std::int32_t> labels = data::labels_of(batch.examples);
    const Targets targets(View<const std::int32_t>{labels.data(), Shape{std::ssize(labels)}});
    return under_way(ask_step(Kind::step, batch, targets, inputs));
  }
  Ticket submit(const ImageView& images) override {
    const Gate::Pass pass = gate_.read();
    return under_way(ask_answer(images));
  }
  Ticket submit(const HeldBatch& batch) override {
    const Gate::Pass pass = gate_.read();
    return under_way(ask_answer(batch));
  }
  Outcome collect(Ticket ticket) override {
    const Gate::Pass pass = gate_.read();
    auto found = under_way_.extract(ticket);
    if (found.empty())
      throw ConfigError("nothing is under way that collect() could give", "call submit() first");
    return finish(std::move(found.mapped()));
  }

  State state(StateScope scope) const override {
    const Gate::Pass pass = gate_.read();
    return state_.values(scope);
  }
  void set_state(const State& state) override {
    const Gate::Pass pass = gate_.change("set_state()");
    state_.set_values(state);
    finite_ = true;
  }
  void swap_average() override {
    const Gate::Pass pass = gate_.change("swap_average()");
    state_.swap_average();
  }

  State gradient_values() const override {
    const Gate::Pass pass = gate_.read();
    check_gradients(has_gradients_);
    return state_.gradient_values();
  }
  std::vector<GradientSpan> gradient_spans() override {
    const Gate::Pass pass = gate_.read();
    check_gradients(has_gradients_);
    return state_.gradient_spans();
  }

  bool finite() const override {
    const Gate::Pass pass = gate_.read();
    return finite_ && state_.mirror().finite();
  }
  std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                          const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("find_nonfinite()");
    if (auto found = nonfinite_before(state_.values(StateScope::all), images)) return found;
    gpu::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    auto flight = next_flight();
    write_step(*flight, executor, images, targets, inputs);
    state_.changes();
    const auto found = executor.run_until_nonfinite();
    idle_.push_back(std::move(flight));
    if (!found) return std::nullopt;
    return place_of(executor.plan(), found->call, found->kind);
  }

  DeviceInfo device() const override {
    const Gate::Pass pass = gate_.read();
    return gpu_device(device_, threads_);
  }

  std::vector<CallTime> profile(const ImageView& images, const Targets& targets,
                                const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("profile()");
    gpu::Executor& executor = compiled(Kind::step, images.shape, targets.mixed());
    std::vector<double> seconds(executor.plan().calls.size(), 0.0);
    auto flight = next_flight();
    write_step(*flight, executor, images, targets, inputs);
    const double copies = executor.run_timed(seconds);
    idle_.push_back(std::move(flight));
    state_.changes();
    state_.mirror().count_step();
    finite_ = finite_ && executor.finite();
    state_.mirror().count_update(true);
    std::vector<CallTime> calls = call_times(executor.plan(), seconds);
    if (const std::int64_t bytes = executor.copied_bytes(); bytes > 0) {
      calls.insert(calls.begin(), CallTime{.op = "copy_weights",
                                           .node = "all",
                                           .kernel = "copy_weights",
                                           .bytes = static_cast<double>(bytes),
                                           .seconds = copies});
    }
    return calls;
  }

  std::int64_t arena_bytes() const override {
    const Gate::Pass pass = gate_.read();
    return state_.arena().bytes();
  }
  std::string plan_text(const Shape& images, Mode mode) override {
    const Gate::Pass pass = gate_.read();
    const gpu::Executor& executor = plans_.planned(mode == Mode::train ? Kind::step : Kind::infer, images);
    const std::string note = device_.note();
    return plan::to_string(executor.plan()) + note + (note.empty() ? "" : "\n");
  }
  // On the device: what the process needs besides is the mirror of the state. `scratch` is what these plans
  // take beside the arena, each for itself: weights in other forms.
  ArenaBytes planned_bytes(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    return plans_.bytes_for(images, work, mixed, 1,
                            [](const gpu::Executor& executor) { return executor.missing_bytes(); });
  }
  std::string plan_sha256(const Shape& images, Work work, bool mixed) override {
    const Gate::Pass pass = gate_.read();
    return plans_.sha256_for(images, work, mixed);
  }
  std::int64_t memory() const override { return options_.memory; }
  std::optional<std::int64_t> device_memory_left() const override {
    const Gate::Pass pass = gate_.read();
    return device_.free_bytes();
  }

 private:
  static constexpr int kAhead = 2;                   // steps that are asked for before one is looked at
  static constexpr std::int64_t kSpare = 256 << 20;  // bytes that held sets leave free, for more plans

  // With memory to run in.
  gpu::Executor& compiled(Kind kind, const Shape& images, bool mixed = false) {
    return plans_.bound(kind, images, mixed, [&](gpu::Executor& executor) {
      reserve(executor);
      executor.bind(state_.arena());
    });
  }

  // Room for all plans, so that it grows once, and for new state on both sides. Where there is not so much, for
  // this plan: what was only asked for (planned_bytes()) and is too much stands in nobody's way.
  void reserve(const gpu::Executor& executor) {
    const std::int64_t all = plans_.largest().work;
    const bool fits =
        state_.arena().growth(state_.mirror().layout().bytes(), all) + executor.missing_bytes() <=
        device_.free_bytes();
    try {
      if (!state_.reserve(fits ? all : executor.plan().work_bytes + executor.plan().prepared_bytes)) return;
    } catch (...) {
      plans_.unbind_all();
      throw;
    }
    plans_.unbind_all();
  }

  Shape shape_of(const ImageView& images) const { return images.shape; }
  Shape shape_of(const HeldBatch& batch) const {
    const Shape& example = held_.at(batch.set).set().example_shape();
    return {std::ssize(batch.examples), example[0], example[1], example[2]};
  }

  void write_seed(Flight& flight, const gpu::Executor& executor) const {
    engine::write_seed(executor.plan(), {options_.seed, state_.mirror().steps()}, flight.writer(executor));
  }
  void write_inputs(Flight& flight, const gpu::Executor& executor, const StepInputs& inputs) const {
    write_update(executor.plan(), options_.optimizer, inputs, state_.mirror().updates() + 1,
                 flight.writer(executor));
  }

  void write_images(Flight& flight, const gpu::Executor& executor, const ImageView& images) const {
    flight.write_images(executor, images);
  }
  void write_images(Flight& flight, const gpu::Executor& executor, const HeldBatch& batch) const {
    flight.write_images(executor, batch, device_, held_.at(batch.set));
  }

  template <class Images>
  void write_step(Flight& flight, const gpu::Executor& executor, const Images& images, const Targets& targets,
                  const StepInputs& inputs, float share = 1) const {
    const plan::Plan& plan = executor.plan();
    check_targets(targets, shape_of(images)[0], plan.output(graph::kOutput)->shape[1]);
    write_inputs(flight, executor, inputs);  // refuses before anything is written
    write_images(flight, executor, images);
    if constexpr (std::is_same_v<Images, ImageView>) write_targets(plan, targets, flight.writer(executor));
    write_share(plan, share, flight.writer(executor));
    write_seed(flight, executor);
  }

  std::unique_ptr<Flight> next_flight() {
    device_.expect_own_process();  // before anything is written to its pinned memory
    if (idle_.empty()) idle_.push_back(std::make_unique<Flight>(device_));
    auto flight = std::move(idle_.back());
    idle_.pop_back();
    flight->begin();
    return flight;
  }
  static std::unique_ptr<Flight> asked(std::unique_ptr<Flight> flight) {
    flight->staging.end();
    return flight;
  }

  void run(gpu::Executor& executor) {
    state_.changes();
    executor.run();
  }

  template <class Images>
  std::unique_ptr<Flight> ask_step(Kind kind, const Images& images, const Targets& targets,
                                   const StepInputs& inputs, float share = 1) {
    gpu::Executor& executor = compiled(kind, shape_of(images), targets.mixed());
    auto flight = next_flight();
    write_step(*flight, executor, images, targets, inputs, share);
    state_.forget_spans();
    run(executor);
    state_.mirror().count_step();
    if (kind == Kind::step) state_.mirror().count_update(true);  // finish() tells whether it was finite
    flight->receive_step(executor);
    return asked(std::move(flight));
  }

  template <class Images>
  std::unique_ptr<Flight> ask_answer(const Images& images) {
    gpu::Executor& executor = compiled(Kind::infer, shape_of(images));
    auto flight = next_flight();
    write_images(*flight, executor, images);
    write_seed(*flight, executor);
    executor.run();
    flight->receive_answer(executor);
    return asked(std::move(flight));
  }

  Ticket under_way(std::unique_ptr<Flight> flight) {
    under_way_.emplace(++last_ticket_, std::move(flight));
    return last_ticket_;
  }

  Outcome finish(std::unique_ptr<Flight> flight) {
    flight->staging.wait();
    Outcome outcome = flight->outcome();
    finite_ = finite_ && outcome.finite;
    idle_.push_back(std::move(flight));
    return outcome;
  }

  Network network_;  // without its state
  EngineOptions options_;
  ThreadCount threads_;  // of the host
  mutable Gate gate_;    // of all that follows
  mutable gpu::Device device_;
  gpu::Target target_;
  DeviceState state_;
  TrainingPlans<gpu::Executor> plans_;
  gpu::HeldSets held_;
  std::vector<std::unique_ptr<Flight>> idle_;  // with memory for the next
  std::map<Ticket, std::unique_ptr<Flight>> under_way_;
  Ticket last_ticket_ = 0;
  bool has_gradients_ = false;
  bool finite_ = true;  // all that was finished, since set_state()
};

class GpuInferenceEngine final : public GpuEngine {
 public:
  using GpuEngine::GpuEngine;
  void set_state(const State&) override { throw not_trainable("set_state()"); }
  void swap_average() override { throw not_trainable("swap_average()"); }
};

}  // namespace

std::unique_ptr<PlannedEngine> make_gpu_engine(Network network, const EngineOptions& options,
                                               const resnet_device_api& api, int number) {
  check(options.loss);
  return std::make_unique<GpuEngine>(std::move(network), options, api, number);
}

std::unique_ptr<PlannedEngine> make_gpu_inference_engine(Network network, const EngineOptions& options,
                                                         const resnet_device_api& api, int number) {
  network.train.reset();  // nothing trains it
  return std::make_unique<GpuInferenceEngine>(std::move(network), options, api, number);
}

}  // namespace resnet::engine
