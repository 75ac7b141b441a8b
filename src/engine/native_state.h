// What the native engine remembers from step to step.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/checks.h"
#include "engine/layout.h"
#include "exec/executor.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// The state of the native engine in its arena, in the layouts behind the plan, and its counts.
class NativeState {
 public:
  /// Takes over the network's values. Throws ShapeError if they are not those of its graphs, ConfigError for
  /// an optimiser that does not fit them, MemoryError where there is no room for them.
  NativeState(Network& network, const EngineOptions& options, int threads);

  /// Places what a graph keeps besides; new state is zero.
  void place(const graph::Graph& graph);

  State values(StateScope scope) const;
  void set_values(const State& given);
  /// Calls `visit(value, average, elements)` for each that has an average. Throws ConfigError if none has.
  void for_each_average(const std::function<void(float*, float*, std::int64_t)>& visit) const;
  /// As Engine's. Throws ConfigError.
  void swap_average();
  State gradient_values() const;
  std::vector<GradientSpan> gradient_spans();

  /// Training steps so far.
  std::int64_t steps() const { return count(kSteps); }
  void count_step();
  /// Updates so far.
  std::int64_t updates() const { return count(kUpdates); }
  /// `finite`: all that the update wrote is.
  void count_update(bool finite);

  /// Whether all values are finite. What updates wrote is known; running statistics are looked at.
  bool finite() const;

  const plan::StateLayout& layout() const noexcept { return layout_; }
  exec::Arena& arena() noexcept { return arena_; }
  const exec::Arena& arena() const noexcept { return arena_; }

 private:
  bool finite(const plan::StateLayout::Entry& entry) const noexcept;
  float* data(const plan::StateLayout::Entry& entry) const noexcept {
    return reinterpret_cast<float*>(arena_.state() + entry.offset);
  }

  std::int64_t count(const char* name) const { return counts_.find(name)->second.view<std::int64_t>()[0]; }
  StateOrder order_of(const std::string& name) const {
    return weights_.contains(name) ? StateOrder::weight : StateOrder::copied;
  }

  StateTypes types_;         // of all values, the network's first
  std::size_t network_ = 0;  // how many are the network's
  std::map<std::string, graph::Role> roles_;
  std::set<std::string> weights_;  // what lies as weights do: with them the slots of theirs
  plan::StateLayout layout_;
  exec::Arena arena_;
  std::map<std::string, Tensor, std::less<>> counts_;  // of steps, updates, batches of a norm

  std::vector<const plan::StateLayout::Entry*> statistics_;  // of norms
  mutable bool looked_at_ = false;                           // all values, since they were given
  mutable bool finite_ = true;                               // as far as it was looked at, and in all updates
};

}  // namespace resnet::engine
