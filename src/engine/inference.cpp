// The engine of models that answer: many calls at the same time on one copy of the weights.
#include <algorithm>
#include <set>

#include "base/memory.h"
#include "cpu/target.h"
#include "engine/choice.h"
#include "engine/gate.h"
#include "engine/native_options.h"
#include "engine/native_state.h"
#include "engine/sessions.h"
#include "engine/training_plans.h"
#include "engine/transfer.h"
#include "resnet/engine.h"

namespace resnet {
namespace {

using engine::Session;
using engine::Sessions;
using engine::SharedPlan;

class InferenceEngine final : public PlannedEngine {
 public:
  InferenceEngine(Network network, const EngineOptions& options, std::string reason)
      : network_(std::move(network)),
        options_(options),
        reason_(std::move(reason)),
        isa_(engine::isa_of(options)),
        target_(isa_),
        threads_(engine::threads_of(options)),
        state_(network_, options_, threads_.count),
        sessions_(usable_cores() / threads_.count) {}

  Tensor infer(const ImageView& images) override {
    const Sessions::Lease session =
        sessions_.lease([&] { return std::make_unique<Session>(threads_.count, state_.arena()); });
    const std::shared_ptr<const SharedPlan> plan = ready(images.shape, *session);
    return engine::answer(executor(*session, plan), session->pool(), images, {options_.seed, state_.steps()});
  }

  StepResult step(const ImageView&, const Targets&, const StepInputs&) override { refuse("step()"); }
  StepResult gradients(const ImageView&, const Targets&, float) override { refuse("gradients()"); }
  void apply(const StepInputs&) override { refuse("apply()"); }
  void set_state(const State&) override { refuse("set_state()"); }
  void swap_average() override { refuse("swap_average()"); }
  State gradient_values() const override { refuse("gradient_values()"); }
  std::vector<GradientSpan> gradient_spans() override { refuse("gradient_spans()"); }
  std::vector<CallTime> profile(const ImageView&, const Targets&, const StepInputs&) override {
    refuse("profile()");
  }

  State state(StateScope scope) const override { return state_.values(scope); }

  DeviceInfo device() const override { return engine::cpu_device(isa_, threads_, reason_); }

  std::string plan_text(const Shape& images, Mode mode) override {
    if (mode == Mode::train) refuse("plan_text() of a step");
    const engine::Gate::Pass pass = gate_.read();
    return plan::to_string(*planned(images)->plan);
  }

  std::int64_t arena_bytes() const override {
    const engine::Gate::Pass pass = gate_.read();
    return state_.arena().bytes() + taken_.load(std::memory_order_relaxed) + prepared_bytes();
  }

  // Of one call at a time, and of all shapes that were asked for.
  ArenaBytes planned_bytes(const Shape& images, Work work, bool) override {
    if (work != Work::infer) refuse("planned_bytes() of a step");
    const engine::Gate::Pass pass = gate_.read();
    const std::shared_ptr<SharedPlan> asked = planned(images);
    const std::int64_t left = memory_left(options_.memory);
    ArenaBytes bytes;
    std::int64_t prepared = 0;
    for (const std::shared_ptr<SharedPlan>& kept : plans_) {
      if (kept != asked && !kept->ready && kept->plan->work_bytes > left)
        continue;  // only asked for: no room for it
      bytes.work = std::max(bytes.work, kept->plan->work_bytes);
      bytes.scratch = std::max(bytes.scratch, plan::aligned(kept->plan->scratch_bytes) * threads_.count);
      prepared += kept->plan->prepared_bytes;
    }
    bytes.work += prepared;
    bytes.state = state_.layout().bytes();
    return bytes;
  }

  std::string plan_sha256(const Shape& images, Work work, bool) override {
    if (work != Work::infer) refuse("plan_sha256() of a step");
    const engine::Gate::Pass pass = gate_.read();
    return plan::sha256_of(*planned(images)->plan);
  }

  std::int64_t memory() const override { return options_.memory; }

 private:
  [[noreturn]] static void refuse(const char* call) { throw engine::not_trainable(call); }

  // The plan for this shape, which may have nothing prepared yet. Behind the gate.
  const std::shared_ptr<SharedPlan>& planned(const Shape& images) {
    const auto found = std::ranges::find(plans_, images, [](const auto& plan) { return plan->images; });
    if (found != plans_.end()) {
      std::rotate(plans_.begin(), found, found + 1);
      return plans_.front();
    }
    auto plan = std::make_shared<SharedPlan>();
    plan->images = images;
    plan->plan = std::make_shared<const plan::Plan>(
        engine::compiled_plan(engine::answer_graph(network_, images), target_, state_.layout(), options_));
    if (plans_.size() == engine::kMostPlans) plans_.pop_back();  // calls that use it still have it
    plans_.insert(plans_.begin(), std::move(plan));
    return plans_.front();
  }

  std::shared_ptr<const SharedPlan> ready(const Shape& images, Session& session) {
    const engine::Gate::Pass pass = gate_.read();
    const std::shared_ptr<SharedPlan> plan = planned(images);
    if (!plan->ready) prepare(plan, session);
    return plan;
  }

  // Nobody else has it yet.
  void prepare(const std::shared_ptr<SharedPlan>& plan, Session& session) {
    const auto bytes = plan->plan->prepared_bytes;
    require(bytes, images_text(*plan));
    plan->memory = {std::make_shared<AlignedBuffer>(static_cast<std::size_t>(bytes))};
    std::fill_n(plan->memory.front()->data(), bytes,
                std::byte{0});  // gaps too can be compared; there may be none
    plan->prepared.clear();
    std::byte* const base = plan->memory.front()->data();
    for (const plan::Buffer& buffer : plan->plan->buffers)
      plan->prepared.push_back(buffer.region == plan::Region::prepared ? base + buffer.offset : nullptr);
    try {
      executor(session, plan).prepare(session.pool());
      engine::share_prepared(*plan, plans_);
    } catch (...) {
      session.forget(*plan);
      plan->memory.clear();
      throw;
    }
    session.forget(*plan);  // the places may be others now
    plan->ready = true;
  }

  exec::Executor& executor(Session& session, const std::shared_ptr<const SharedPlan>& plan) {
    const std::int64_t before = session.bytes();
    exec::Executor& bound =
        session.executor(plan, [&](std::int64_t growth) { require(growth, images_text(*plan)); });
    taken_.fetch_add(session.bytes() - before, std::memory_order_relaxed);
    return bound;
  }

  static std::string images_text(const SharedPlan& plan) {
    return "a network's work on images " + to_string(plan.images);
  }

  void require(std::int64_t bytes, const std::string& what) const {
    if (bytes > kSmallMemory) require_memory(bytes, options_.memory, what);
  }

  std::int64_t prepared_bytes() const {
    std::set<const AlignedBuffer*> all;
    for (const std::shared_ptr<SharedPlan>& plan : plans_) {
      for (const auto& memory : plan->memory) all.insert(memory.get());
    }
    std::int64_t bytes = 0;
    for (const AlignedBuffer* const memory : all) bytes += static_cast<std::int64_t>(memory->size());
    return bytes;
  }

  Network network_;  // without its state
  EngineOptions options_;
  std::string reason_;  // why this engine
  Isa isa_;
  cpu::Target target_;
  ThreadCount threads_;
  engine::NativeState state_;                       // nothing changes it
  mutable engine::Gate gate_;                       // of the plans
  std::vector<std::shared_ptr<SharedPlan>> plans_;  // the one that was used last is first
  std::atomic<std::int64_t> taken_{0};              // by the sessions
  Sessions sessions_;
};

}  // namespace

std::unique_ptr<PlannedEngine> engine::make_cpu_inference_engine(Network network,
                                                                 const EngineOptions& options,
                                                                 std::string reason) {
  check_cpu(options, reason);
  return std::make_unique<InferenceEngine>(std::move(network), options, std::move(reason));
}

}  // namespace resnet
