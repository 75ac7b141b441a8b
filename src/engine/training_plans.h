// The plans of an engine that trains, on whichever machine they run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "compiler/compile.h"
#include "compiler/training.h"
#include "engine/native_options.h"
#include "engine/native_state.h"
#include "plan/plan.h"
#include "resnet/engine.h"
#include "tensor/nonfinite.h"

namespace resnet::engine {

/// Evaluation, for images of this shape.
graph::Graph answer_graph(const Network& network, const Shape& images);
/// A step. Throws ConfigError where the network was made for inference.
graph::Graph step_graph(const Network& network, const EngineOptions& options, const Shape& images,
                        compiler::StepKind kind, bool mixed);
/// What step_graph() throws, and whoever else is asked to train; `call` stands in front.
ConfigError not_trainable(const std::string& call = "");

plan::Plan compiled_plan(const graph::Graph& graph, const compiler::Target& target,
                         const plan::StateLayout& layout, const EngineOptions& options);

/// The calls of a plan with the seconds that each took.
std::vector<CallTime> call_times(const plan::Plan& plan, std::span<const double> seconds);

/// What it is that a call of a step has written and is not finite.
NonFinite place_of(const plan::Plan& plan, std::size_t call, NonFiniteKind kind);

enum class PlanKind : std::uint8_t { step, gradients, apply, infer };

/// Each plan is for one kind, one shape of images, and targets with or without second labels. It is made when
/// it is first asked for; the kMostPlans used last are kept.
template <class Executor>
class TrainingPlans {
 public:
  using Make = std::function<std::unique_ptr<Executor>(plan::Plan)>;

  /// The first four outlive it.
  TrainingPlans(const Network& network, const EngineOptions& options, const compiler::Target& target,
                NativeState& state, Make make)
      : network_(network), options_(options), target_(target), state_(state), make_(std::move(make)) {
    kept_.reserve(kMostPlans);
  }

  /// Compiled; it may not have memory to run in yet.
  Executor& planned(PlanKind kind, const Shape& images, bool mixed = false) {
    const auto found = std::ranges::find_if(
        kept_, [&](const Kept& k) { return k.kind == kind && k.images == images && k.mixed == mixed; });
    if (found != kept_.end()) {
      std::rotate(kept_.begin(), found, found + 1);  // allocates nothing
      return *kept_.front().executor;
    }
    const graph::Graph graph = graph_of(kind, images, mixed);
    if (kind == PlanKind::gradients && !apply_graph_) {
      state_.place(graph);
      apply_graph_ = compiler::apply_step(graph, options_.optimizer);
    }
    auto executor = make_(compiled_plan(graph, target_, state_.layout(), options_));
    if (kept_.size() == kMostPlans) kept_.pop_back();
    kept_.insert(kept_.begin(), {kind, images, mixed, std::move(executor)});
    return *kept_.front().executor;
  }

  /// With memory, that `bind(executor)` gives it where it has none.
  template <class Bind>
  Executor& bound(PlanKind kind, const Shape& images, bool mixed, const Bind& bind) {
    Executor& executor = planned(kind, images, mixed);
    if (executor.is_bound()) return executor;
    try {
      bind(executor);
    } catch (...) {  // not enough memory: others shall not ask for as much
      kept_.erase(kept_.begin());
      throw;
    }
    return executor;
  }

  /// What `work` on images needs: room for one plan at a time; in scratch also what each of them takes
  /// `besides`.
  ArenaBytes bytes_for(const Shape& images, Work work, bool mixed, int threads,
                       const std::function<std::int64_t(const Executor&)>& besides = {}) {
    ArenaBytes bytes;
    std::int64_t taken_besides = 0;
    const auto add = [&](PlanKind kind, const Shape& shape, bool second) {
      const Executor& executor = planned(kind, shape, second);
      const plan::Plan& plan = executor.plan();
      bytes.work = std::max(bytes.work, plan.work_bytes + plan.prepared_bytes);
      bytes.scratch = std::max(bytes.scratch, plan::aligned(plan.scratch_bytes) * threads);
      if (besides) taken_besides += besides(executor);
    };
    if (work == Work::infer) {
      add(PlanKind::infer, images, false);
    } else {
      add(work == Work::step ? PlanKind::step : PlanKind::gradients, images, mixed);
    }
    if (work == Work::gradients) add(PlanKind::apply, {}, false);
    bytes.state = state_.layout().bytes();
    bytes.scratch += taken_besides;
    return bytes;
  }

  std::string sha256_for(const Shape& images, Work work, bool mixed) {
    if (work == Work::infer) return plan::sha256_of(planned(PlanKind::infer, images).plan());
    if (work == Work::step) return plan::sha256_of(planned(PlanKind::step, images, mixed).plan());
    const std::string gradients = plan::sha256_of(planned(PlanKind::gradients, images, mixed).plan());
    return sha256_of(gradients + plan::sha256_of(planned(PlanKind::apply, {}).plan()));
  }

  struct Largest {
    std::int64_t work = 0, scratch = 0;  // bytes; scratch of one thread
  };
  /// Room for any of the plans that are kept.
  Largest largest() const {
    Largest largest;
    for (const Kept& k : kept_) {
      const plan::Plan& plan = k.executor->plan();
      largest.work = std::max(largest.work, plan.work_bytes + plan.prepared_bytes);
      largest.scratch = std::max(largest.scratch, plan.scratch_bytes);
    }
    return largest;
  }

  /// f(executor) of all plans that are kept.
  template <class F>
  void for_each(const F& f) const {
    for (const Kept& k : kept_) f(*k.executor);
  }

  void unbind_all() noexcept {
    for (const Kept& k : kept_) k.executor->unbind();
  }

 private:
  struct Kept {
    PlanKind kind;
    Shape images;
    bool mixed;
    std::unique_ptr<Executor> executor;
  };

  graph::Graph graph_of(PlanKind kind, const Shape& images, bool mixed) const {
    if (kind == PlanKind::apply) return *apply_graph_;
    if (kind == PlanKind::infer) return answer_graph(network_, images);
    using compiler::StepKind;
    return step_graph(network_, options_, images, kind == PlanKind::step ? StepKind::update : StepKind::means,
                      mixed);
  }

  const Network& network_;
  const EngineOptions& options_;
  const compiler::Target& target_;
  NativeState& state_;
  Make make_;
  std::vector<Kept> kept_;  // the one that was used last is first
  std::optional<graph::Graph> apply_graph_;
};

}  // namespace resnet::engine
