// The batches of an epoch on their way to an engine, and the answers that it gives.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "data/placed.h"
#include "engine/ahead.h"
#include "resnet/train.h"
#include "train/views.h"

namespace resnet::train {

/// A batch in memory, or of a set that the engine holds.
struct FedBatch {
  const data::Batch* made = nullptr;  // null: held
  engine::HeldBatch held = {};

  std::int64_t size() const { return made != nullptr ? made->size() : std::ssize(held.examples); }
};

/// An engine that may be ahead of its results; null for another.
inline engine::AheadEngine* ahead_of(Engine& engine) {
  return dynamic_cast<engine::AheadEngine*>(&engine);
}

/// Gives the batches of a loader: made by it, or as places in its data set where the engine holds that. Which
/// of both is decided once, when it is first started.
class Feed {
 public:
  /// The engine and `loader`, which has these options, outlive it. `may_hold`: all batches go to submit().
  Feed(Engine& engine, data::Loader& loader, data::Dataset set, data::LoaderOptions options,
       bool may_hold = true)
      : engine_(engine),
        loader_(loader),
        set_(std::move(set)),
        options_(std::move(options)),
        may_hold_(may_hold) {}

  /// Of an epoch.
  std::int64_t batches() const { return loader_.batches(); }
  std::int64_t examples() const { return options_.drop_last ? batches() * options_.batch_size : set_.size(); }
  /// As Loader::start().
  void start(const data::Order& order, std::int64_t epoch, std::int64_t first_batch = 0);
  /// The next batch, valid until the next call; null at the end of the epoch.
  const FedBatch* next();

 private:
  void hold();

  Engine& engine_;
  data::Loader& loader_;
  data::Dataset set_;
  data::LoaderOptions options_;
  bool may_hold_;
  std::optional<data::PlacedLoader> places_;  // of the set that is held
  FedBatch next_;
};

/// The outputs for the batches of a feed, in order; the engine is as far ahead as it can be.
class Answers {
 public:
  /// The first two outlive it, and `stop`, which ends it early.
  Answers(Engine& engine, Feed& feed, Views views, const std::atomic<bool>* stop);
  ~Answers();
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  struct Batch {
    Tensor outputs;  // over all views
    std::vector<std::int32_t> labels;
  };
  /// None at the end.
  std::optional<Batch> next();

 private:
  bool submit();
  void submit(const FedBatch& batch, const TestView& view);
  Tensor collect();

  Engine& engine_;
  engine::AheadEngine* ahead_;
  Feed& feed_;
  std::vector<TestView> views_;
  const std::atomic<bool>* stop_;
  const FedBatch* batch_ = nullptr;
  std::size_t view_;                                   // of batch_, the next one
  std::deque<engine::AheadEngine::Ticket> under_way_;  // views
  std::deque<std::vector<std::int32_t>> labels_;       // of batches under way
  Tensor done_;                                        // of an engine that is not ahead
};

}  // namespace resnet::train
