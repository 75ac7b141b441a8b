// The progress bar: keeps where the run stands; report/bar.h makes the text, Screen paints it.
#include <cmath>
#include <mutex>
#include <utility>
#include <vector>

#include "report/bar.h"
#include "resnet/report.h"

namespace resnet {

namespace {

class ProgressBar : public Observer {
 public:
  explicit ProgressBar(ReportOptions options)
      : screen_(options.screen ? std::move(options.screen) : Screen::of(2)) {
    if (!options.earlier.empty()) resumed_at_ = options.earlier.back().x;
  }

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
    run_start_ = screen_->now();
    const double epoch = std::floor(resumed_at_);
    begin_epoch(static_cast<std::int64_t>(epoch),
                std::llround((resumed_at_ - epoch) * static_cast<double>(run.batches)));
  }

  void on_step(const Progress& progress) override {
    if (!stepped_ || progress.epoch != bar_.progress.epoch) {
      bar_.initial = progress.batch - 1;
      stepped_ = true;
    }
    bar_.progress = progress;
    bar_.seconds = screen_->now() - epoch_start_;
    shown_.store(bar_);
    screen_->refresh(progress.batch >= run_.batches);
  }

  void on_epoch(const Progress& progress, double test_acc) override {
    print(progress, test_acc);
    if (progress.epoch + 1 < run_.epochs) begin_epoch(progress.epoch + 1, 0);
  }

  void on_finish(const FitResult& result) override {
    screen_->remove(Screen::Slot::bar);
    // Stopped within an epoch; an interrupted run has not been tested.
    if (stepped_) print(bar_.progress, result.complete ? result.test_acc : -1);
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

  void begin_epoch(std::int64_t epoch, std::int64_t batch) {
    bar_ = {run_.epochs, run_.batches, {}, batch, 0};
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
    screen_->print_above(report::epoch_text(progress, run_.epochs, batches, test_acc,
                                            screen_->now() - run_start_,
                                            terminal.interactive ? terminal.width : 0));
    stepped_ = false;
  }

  std::shared_ptr<Screen> screen_;
  RunInfo run_;
  double resumed_at_ = 0;  // epochs
  double run_start_ = 0, epoch_start_ = 0;
  bool stepped_ = false;  // since the last line
  report::BarState bar_;
  Shown shown_;
};

}  // namespace

std::shared_ptr<Observer> progress(ReportOptions options) {
  return std::make_shared<ProgressBar>(std::move(options));
}

}  // namespace resnet
