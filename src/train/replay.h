// The state of the engine some steps ago and what was done since, from which the state before a step that
// went bad follows: bit for bit, for nothing but the memory of one state.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "train/stepper.h"

namespace resnet::train {

class Replay {
 public:
  /// `loader` and `order` outlive it.
  Replay(const FitOptions& options, data::Loader& loader, const data::Order& order)
      : options_(options), loader_(loader), order_(order) {}

  /// Between two steps: what follows is repeated from here. `batch` is the next one of its epoch.
  void keep(const Engine& engine, std::int64_t epoch, std::int64_t batch);
  /// Whether it is time for that: a thousand times what the last copy took has passed.
  bool due() const;
  /// Before a batch is taken; `first`: a step begins with it.
  void note(const StepInputs& inputs, bool first);
  /// Gives the memory back.
  void forget() { state_.clear(); }

  struct Found {
    std::optional<NonFinite> first;  // where the step goes bad; none: it does not
    std::optional<NonFinite> left;   // the first value of the state that is not finite after it
  };
  /// Brings `engine` to where it stood before the step that was noted last but for `after` batches, which are
  /// forgotten, and finds out about it. The loader is left somewhere.
  Found back(Engine& engine, std::int64_t after);

 private:
  const data::Batch& next();
  std::optional<NonFinite> look(Engine& engine);

  const FitOptions& options_;
  data::Loader& loader_;
  const data::Order& order_;
  State state_;
  std::int64_t epoch_ = 0, batch_ = 0;        // of the batch after it
  std::vector<StepInputs> inputs_;            // of the batches since
  std::size_t step_ = 0;                      // the first of the last step's
  std::int64_t at_epoch_ = 0, at_batch_ = 0;  // while they are repeated
  std::chrono::steady_clock::time_point kept_at_;
  double cost_ = 0;  // seconds
};

}  // namespace resnet::train
