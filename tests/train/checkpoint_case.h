// A run that may be stopped and resumed at every step, and all that it gives: for the tests of checkpoints.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "resnet/nn.h"
#include "resnet/train.h"
#include "support/scratch_folder.h"

namespace resnet::test {

inline constexpr std::int64_t kSide = 8;

// Pictures of noise, RGB, kSide x kSide, three classes.
class Noise final : public data::Dataset::Source {
 public:
  Noise(std::int64_t size, std::uint64_t seed) : size_(size), stream_(seed, "noise") {}
  std::int64_t size() const override { return size_; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % 3); }
  void image(std::int64_t i, data::Image& out) const override {
    out.height = out.width = kSide;
    out.channels = 3;
    out.pixels.resize(kSide * kSide * 3);
    for (std::size_t k = 0; k < out.pixels.size(); ++k) {
      out.pixels[k] = static_cast<std::uint8_t>(
          stream_.word(static_cast<std::uint64_t>(i) * 1000 + static_cast<std::uint64_t>(k)));
    }
  }

 private:
  std::int64_t size_;
  RandomStream stream_;
};

inline data::Dataset noise(std::int64_t size, std::uint64_t seed) {
  return {
      std::make_shared<Noise>(size, seed), "noise", {"a", "b", "c"}, {.channels = 3}, Shape{3, kSide, kSide}};
}

inline const data::Dataset& training_set() {
  static const data::Dataset set = noise(22, 1);
  return set;
}
inline const data::Dataset& test_set() {
  static const data::Dataset set = noise(9, 2);
  return set;
}

// With all that a step carries on: running statistics, dropout's stream, momentum.
inline nn::Sequential network() {
  return nn::Sequential(nn::Conv2d{3, 20, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{20}, nn::ReLU{},
                        nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Dropout{0.2}, nn::Linear{20, 3});
}

// Four batches an epoch, the last one short.
inline FitOptions plain(std::int64_t epochs) {
  FitOptions options{.epochs = epochs, .batch_size = 6, .lr = 0.1F, .seed = 7};
  options.augment = {data::Flip{}, data::RandomErasing{}};
  options.engine.threads = 1;
  return options;
}

struct Kind {
  std::string name;
  std::function<void(FitOptions&)> change;
};

inline std::vector<Kind> kinds() {
  return {
      {"sgd", [](FitOptions&) {}},
      {"momentum", [](FitOptions& o) { o.optimizer.method = SgdOptions{.momentum = 0.9, .dampening = 0.1}; }},
      {"nesterov",
       [](FitOptions& o) {
         o.optimizer.method = SgdOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 0.01};
         o.schedule = {.kind = ScheduleKind::one_cycle, .low_momentum = 0.8};
       }},
      {"adamw", [](FitOptions& o) { o.optimizer.method = AdamWOptions{}; }},
      {"average", [](FitOptions& o) { o.average = {.decay = 0.9, .every = 2}; }},
      {"accumulate",
       [](FitOptions& o) {
         o.accumulate = 3;
         o.clip_norm = 0.5;
       }},
      {"patience",
       [](FitOptions& o) {
         o.patience = 2;
         o.schedule = {.kind = ScheduleKind::cosine, .warmup_epochs = 0.5};
       }},
      {"mixed",
       [](FitOptions& o) {
         o.augment.push_back(data::MixUp{});
         o.balanced = true;
         o.loss.label_smoothing = 0.1;
       }},
  };
}

inline std::string text_of(const std::vector<CurvePoint>& points) {
  std::string text;
  for (const CurvePoint& p : points) {
    for (const double number : {p.x, p.loss, p.train_acc, p.test_acc})
      text += std::to_string(std::bit_cast<std::uint64_t>(number)) + " ";
  }
  return text;
}

class Points final : public Observer {
 public:
  void on_start(const RunInfo& run) override { points = run.curve; }
  void on_point(const CurvePoint& point) override { points.push_back(point); }
  std::vector<CurvePoint> points;
};

// All that a run gives which must not depend on where it was resumed.
inline std::string outcome(FitOptions options) {
  const auto points = std::make_shared<Points>();
  options.observers.push_back(points);
  nn::Sequential net = network();
  const FitResult result = fit(net, training_set(), test_set(), options);
  EXPECT_TRUE(result.complete);
  return result.weights_sha256 + " " + std::to_string(result.loss) + " " + std::to_string(result.test_acc) +
         " " + std::to_string(result.steps) + " " + std::to_string(result.epochs) + " " +
         std::to_string(result.best_epoch) + " " + text_of(points->points);
}

// Sets the stop that a signal would, after so many batches.
class Stopper final : public Observer {
 public:
  explicit Stopper(std::int64_t batches) : left_(batches) {}
  void on_step(const Progress&) override {
    if (--left_ == 0) stop = true;
  }
  void on_evaluation(const Progress&, std::int64_t, std::int64_t) override {
    if (left_ <= 0) stop = true;
  }
  std::atomic<bool> stop{false};

 private:
  std::int64_t left_;
};

// A run that `stopper` may stop.
template <class Observing>
FitResult run_until(const std::shared_ptr<Observing>& stopper, FitOptions options) {
  options.observers = {stopper};
  options.stop = &stopper->stop;
  nn::Sequential net = network();
  return fit(net, training_set(), test_set(), options);
}

/// A run of 12 steps and what it gives undisturbed, with one thread.
struct Run {
  Kind kind;
  FitOptions options;
  std::string undisturbed;

  Run(Kind of, const EngineOptions& engine) : kind(std::move(of)), options(plain(3)) {
    kind.change(options);
    options.engine = engine;
    options.engine.threads = 1;
    undisturbed = outcome(options);
  }

  /// Its checkpoints, after every step.
  std::vector<std::filesystem::path> stepped_in(const std::filesystem::path& folder) const {
    FitOptions stepped = options;
    const auto stopper = std::make_shared<Stopper>(12);  // before the last evaluation
    stepped.checkpoints = {.folder = folder, .every_steps = 1, .keep = 1000};
    run_until(stopper, stepped);
    std::vector<std::filesystem::path> paths = checkpoints_in(folder);
    EXPECT_EQ(paths.size(), options.accumulate > 1 ? 6U : 12U) << kind.name;
    return paths;
  }

  /// That it ends as undisturbed if it goes on from this one with so many threads.
  void expect_same_from(const std::filesystem::path& checkpoint, int threads) const {
    const ScratchFolder folder;
    std::filesystem::copy_file(checkpoint, folder.path() / checkpoint.filename());
    FitOptions resumed = options;
    resumed.checkpoints = {.folder = folder.path(), .resume = true};
    resumed.engine.threads = threads;
    EXPECT_EQ(outcome(resumed), undisturbed) << kind.name << ", " << options.engine.isa << ", "
                                             << checkpoint.filename() << ", threads " << threads;
  }
};

inline constexpr int kThreads[] = {1, 2, 3, 4, 8};

}  // namespace resnet::test
