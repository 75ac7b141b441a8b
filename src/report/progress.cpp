// The progress bar: keeps where the run stands; report/bar.h makes the text, Screen paints it. Where there is
// no terminal, lines say from time to time how far it has come.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "report/bar.h"
#include "report/text.h"
#include "resnet/html_report.h"
#include "resnet/report.h"
#include "train/batches.h"

namespace resnet {

namespace {

/// When the next line is due on a stream without a bar.
class Clockwork {
 public:
  void start(double now) { due_ = now + 10; }  // seconds: soon enough to see that it works
  bool due(double now) {
    if (now < due_) return false;
    due_ = now + 60;
    return true;
  }

 private:
  double due_ = 0;
};

std::string count_line(const std::string& doing, std::int64_t done, std::int64_t all, double seconds) {
  return fmt::format("{} {}/{}  [{}]", doing, done, all, report::interval(seconds));
}

class ProgressBar : public Observer {
 public:
  explicit ProgressBar(ReportOptions options)
      : screen_(options.screen ? std::move(options.screen) : Screen::of(2)) {}

  // Reached with a bar on the screen only when training was left by an exception: the bar stays, as
  // the place where it happened.
  ~ProgressBar() override {
    try {
      screen_->keep(Screen::Slot::bar);
    } catch (...) {
    }
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void on_start(const RunInfo& run) override {
    run_ = run;
    ended_epoch_ = -1;  // it may go back
    run_start_ = screen_->now();
    run_end_ = run_start_ + run.seconds;
    lines_.start(run_start_);
    begin_epoch(run.done.epoch, run.done.batch);
  }

  void on_replan(const RunInfo& run) override {
    run_ = run;
    run_end_ = screen_->now() + run.seconds;
    bar_.epochs = run.epochs;
  }

  void on_step(const Progress& progress) override {
    if (!stepped_ || progress.epoch != bar_.progress.epoch) {
      bar_.initial = progress.batch - 1;
      stepped_ = true;
    }
    bar_.progress = progress;
    bar_.seconds = screen_->now() - epoch_start_;
    batch_seconds_ = bar_.seconds / static_cast<double>(progress.batch - bar_.initial);
    show(progress.batch >= run_.batches);
  }

  void on_evaluation(const Progress& progress, std::int64_t tested, std::int64_t examples) override {
    const double now = screen_->now();
    if (tested == 0) test_start_ = now;
    bar_.progress = progress;  // of a test at the end, when the next epoch's bar may be there
    bar_.examples = examples;
    bar_.tested = tested;
    bar_.seconds = now - test_start_;
    if (tested > 0)
      test_seconds_ = bar_.seconds * static_cast<double>(bar_.examples) / static_cast<double>(tested);
    show(tested == 0);
  }

  void on_epoch(const Progress& progress, double test_acc) override {
    ended_epoch_ = progress.epoch;
    print(progress, test_acc);
    if (progress.epoch + 1 < run_.epochs) begin_epoch(progress.epoch + 1, 0);
  }

  void on_finish(const FitResult& result) override {
    screen_->remove(Screen::Slot::bar);
    // Stopped within an epoch; an interrupted run has not been tested.
    const double measured = run_.val_examples > 0 ? result.val_acc : result.test_acc;
    if (stepped_) print(bar_.progress, result.complete ? measured : -1);
  }

 private:
  /// What the painter reads, perhaps from another thread.
  class Shown {
   public:
    void store(const report::BarState& state) {
      const std::lock_guard lock(mutex_);
      state_ = state;
    }
    report::BarState load() const {
      const std::lock_guard lock(mutex_);
      return state_;
    }

   private:
    mutable std::mutex mutex_;
    report::BarState state_;
  };

  /// Seconds until the end of the run: what it is bound to, or its batches and tests at the pace of the last
  /// ones.
  double run_left() const {
    if (run_.bounded) return std::max(0.0, run_end_ - screen_->now());
    const std::int64_t done = bar_.progress.epoch * run_.batches + bar_.progress.batch;
    const std::int64_t steps_per_epoch = train::steps_of(run_.batches, run_.accumulate);
    const std::int64_t whole = run_.steps / std::max<std::int64_t>(1, steps_per_epoch);  // epochs
    const std::int64_t rest = run_.steps - whole * steps_per_epoch;
    const std::int64_t all = whole * run_.batches + std::min(rest * run_.accumulate, run_.batches);
    const auto batches = static_cast<double>(std::max<std::int64_t>(0, all - done));
    const std::int64_t epochs = whole + (rest > 0 ? 1 : 0);
    const double tested =
        bar_.examples > 0 ? static_cast<double>(bar_.tested) / static_cast<double>(bar_.examples) : 0;
    if (bar_.examples > 0 && bar_.progress.epoch == ended_epoch_) return (1 - tested) * test_seconds_;
    double tests = static_cast<double>(epochs - bar_.progress.epoch) - tested;
    if (run_.val_examples > 0)  // and that of the test set, in those of the validation set
      tests += static_cast<double>(run_.test_examples) / static_cast<double>(run_.val_examples);
    return batch_seconds_ < 0 ? -1 : batches * batch_seconds_ + tests * test_seconds_;
  }

  void show(bool at_once) {
    bar_.run_left = run_left();
    shown_.store(bar_);
    screen_->refresh(at_once);
    const double now = screen_->now();
    const bool at_end = bar_.progress.batch >= run_.batches && bar_.examples == 0;  // its own line is near
    if (at_end || screen_->terminal().interactive || !lines_.due(now)) return;
    screen_->print_above(bar_.examples > 0 ? count_line(fmt::format("epoch {}/{} testing",
                                                                    bar_.progress.epoch + 1, run_.epochs),
                                                        bar_.tested, bar_.examples, now - run_start_)
                                           : report::epoch_text(bar_.progress, run_.epochs, run_.batches, -1,
                                                                now - run_start_, 0, bar_.run_left));
  }

  void begin_epoch(std::int64_t epoch, std::int64_t batch) {
    bar_ = {};
    bar_.epochs = run_.epochs;
    bar_.batches = run_.batches;
    bar_.initial = batch;
    bar_.progress.epoch = epoch;
    bar_.progress.batch = batch;
    epoch_start_ = screen_->now();
    stepped_ = false;
    shown_.store(bar_);
    screen_->show(Screen::Slot::bar, [this](const Terminal& terminal) {
      return std::vector<std::string>{report::bar_text(shown_.load(), terminal.width, terminal.utf8)};
    });
  }

  void print(const Progress& progress, double test_acc) {
    const std::int64_t batches = progress.batch < run_.batches ? run_.batches : 0;  // 0: a whole epoch
    const Terminal terminal = screen_->terminal();
    screen_->print_above(
        report::epoch_text(progress, run_.epochs, batches, test_acc, screen_->now() - run_start_,
                           terminal.interactive ? terminal.width : 0, -1, run_.val_examples > 0));
    stepped_ = false;
  }

  std::shared_ptr<Screen> screen_;
  RunInfo run_;
  double run_start_ = 0, run_end_ = 0, epoch_start_ = 0, test_start_ = 0;
  double batch_seconds_ = -1;      // of a batch of this epoch, or of the last one; negative: unknown
  double test_seconds_ = 0;        // of a test, as far as one is known
  std::int64_t ended_epoch_ = -1;  // with its evaluation: what is tested then is the test set, at the end
  Clockwork lines_;
  bool stepped_ = false;  // since the last line
  report::BarState bar_;
  Shown shown_;
};

/// A bar of its own for work that is counted.
struct Counting {
  Counting(std::string name, std::string what, std::shared_ptr<Screen> on)
      : screen(on ? std::move(on) : Screen::of(2)),
        title(std::move(name)),
        unit(std::move(what)),
        start(screen->now()) {
    lines.start(start);
    screen->show(Screen::Slot::bar, [this](const Terminal& terminal) {
      const std::lock_guard lock(mutex);  // another thread's bar may paint this one
      return std::vector<std::string>{
          report::test_text(done, all, seconds, terminal.width, terminal.utf8, title, unit)};
    });
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  ~Counting() {
    try {
      screen->remove(Screen::Slot::bar);
    } catch (...) {
    }
  }

  /// Whether a line is to be printed, because no bar can be seen.
  bool show(std::int64_t now_done, std::int64_t of_all) {
    const double now = screen->now();
    {
      const std::lock_guard lock(mutex);
      done = now_done;
      all = of_all;
      seconds = now - start;
    }
    screen->refresh();
    return !screen->terminal().interactive && lines.due(now);
  }

  std::shared_ptr<Screen> screen;
  std::string title, unit;
  double start;
  std::mutex mutex;
  std::int64_t done = 0, all = 0;
  double seconds = 0;
  Clockwork lines;
};

}  // namespace

namespace {

// `doing` is the line where no bar can be seen.
std::function<void(std::int64_t)> counting(const char* title, const char* unit, const char* doing,
                                           std::int64_t all, std::shared_ptr<Screen> screen) {
  const auto state = std::make_shared<Counting>(title, unit, std::move(screen));
  state->show(0, all);
  return [=](std::int64_t done) {
    if (state->show(done, all)) state->screen->print_above(count_line(doing, done, all, state->seconds));
  };
}

}  // namespace

std::function<void(std::int64_t)> test_progress(std::int64_t examples, std::shared_ptr<Screen> screen) {
  return counting("Testing", "examples", "testing", examples, std::move(screen));
}

std::function<void(std::int64_t)> predict_progress(std::int64_t pictures, std::shared_ptr<Screen> screen) {
  return counting("Predicting", "pictures", "predicting", pictures, std::move(screen));
}

std::function<void(std::int64_t)> picture_progress(std::int64_t pictures, std::shared_ptr<Screen> screen) {
  return counting("Drawing", "pictures", "drawing", pictures, std::move(screen));
}

std::function<void(std::int64_t, std::int64_t)> scan_progress(std::shared_ptr<Screen> screen) {
  const auto state = std::make_shared<std::unique_ptr<Counting>>();  // from the first call to the last
  return [state, screen = std::move(screen)](std::int64_t done, std::int64_t all) {
    if (!*state) *state = std::make_unique<Counting>("Looking", "pictures", screen);
    if ((*state)->show(done, all)) {
      (*state)->screen->print_above(count_line("looking at pictures", done, all, (*state)->seconds));
    }
    if (done == all) state->reset();
  };
}

std::shared_ptr<Observer> progress(ReportOptions options) {
  return std::make_shared<ProgressBar>(std::move(options));
}

}  // namespace resnet
