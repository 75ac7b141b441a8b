// A run without a network: it goes to observers step by step, with a clock that we set.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "report/virtual_terminal.h"
#include "resnet/report.h"

namespace resnet::report {

/// A screen on a virtual terminal.
struct Stage {
  explicit Stage(const Terminal& description)
      : terminal(description), display(description.width, description.height) {
    screen = std::make_shared<Screen>(
        [this](std::string_view frame) {
          ++frames;
          raw += frame;
          display.feed(frame);
          return !broken;
        },
        [this] { return terminal; }, [this] { return now; });
  }

  Terminal terminal;
  VirtualTerminal display;
  double now = 0;
  int frames = 0;
  bool broken = false;
  std::string raw;
  std::shared_ptr<Screen> screen;
};

inline RunInfo small_run(std::int64_t epochs = 3, std::int64_t batches = 10) {
  RunInfo run;
  run.model = "d2l_resnet18";
  run.dataset = "fashion-mnist";
  run.train_examples = batches * 256;
  run.test_examples = 100;
  run.epochs = epochs;
  run.batches = batches;
  run.batch_size = 256;
  run.steps = epochs * batches;
  run.device.kind = "cpu";
  return run;
}

/// The points of the chapter (every batches / 5 and the last) of a run that learns.
inline std::vector<CurvePoint> learning(std::int64_t epochs, std::int64_t batches = 10) {
  std::vector<CurvePoint> points;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (std::int64_t batch = batches / 5; batch <= batches; batch += batches / 5) {
      CurvePoint point;
      point.x = static_cast<double>(epoch) + static_cast<double>(batch) / static_cast<double>(batches);
      point.loss = 1.2 / (1 + point.x);
      point.train_acc = 1 - 0.6 / (1 + 2 * point.x);
      if (batch == batches) point.test_acc = 0.9 - 0.3 / (1 + 2 * point.x);
      points.push_back(point);
    }
  }
  return points;
}

/// Sends the whole run, a second a step; `before_step` may change the stage.
template <class BeforeStep>
void simulate(Stage& stage, const std::vector<std::shared_ptr<Observer>>& observers, const RunInfo& run,
              std::vector<CurvePoint> points, const BeforeStep& before_step) {
  for (const auto& observer : observers) observer->on_start(run);
  auto point = points.begin();
  Progress progress;
  for (std::int64_t epoch = 0; epoch < run.epochs; ++epoch) {
    for (std::int64_t batch = 1; batch <= run.batches; ++batch) {
      before_step(epoch, batch);
      stage.now += 1;
      progress = {epoch, batch, batch * run.batch_size,      point->loss, point->train_acc,
                  256,   256,   epoch * run.batches + batch, 0.1};
      for (const auto& observer : observers) observer->on_step(progress);
      if (batch % (run.batches / 5) != 0) continue;
      for (const auto& observer : observers) observer->on_point(*point);
      if (batch == run.batches) {
        for (const auto& observer : observers) observer->on_epoch(progress, point->test_acc);
      }
      ++point;
    }
  }
  FitResult result;
  result.complete = true;
  for (const auto& observer : observers) observer->on_finish(result);
}

inline void simulate(Stage& stage, const std::vector<std::shared_ptr<Observer>>& observers,
                     const RunInfo& run) {
  simulate(stage, observers, run, learning(run.epochs, run.batches), [](std::int64_t, std::int64_t) {});
}

}  // namespace resnet::report
