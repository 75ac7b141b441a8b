// The live plot: keeps the points; curves_text() makes the picture, Screen paints it.
#include <algorithm>
#include <mutex>
#include <utility>

#include "report/plot.h"
#include "resnet/report.h"

namespace resnet {

namespace {

constexpr int kLeastTerminalWidth = 40,
              kLeastTerminalHeight = 12;           // of a terminal: below, there is no room for both
constexpr int kMostWidth = 100, kMostHeight = 18;  // of the plot: larger ones hide the work before
constexpr int kLinesBesides = 4;                   // the bar, its predecessor and the prompt below

class LiveCurves : public Observer {
 public:
  explicit LiveCurves(ReportOptions options)
      : screen_(options.screen ? std::move(options.screen) : Screen::of(2)) {}
  ~LiveCurves() override {  // left by an exception: what is known stays
    try {
      screen_->keep(Screen::Slot::plot);
    } catch (...) {
    }
  }
  LiveCurves(const LiveCurves&) = delete;
  LiveCurves& operator=(const LiveCurves&) = delete;

  void on_start(const RunInfo& run) override {
    {
      const std::lock_guard lock(mutex_);
      series_.model = run.model;
      series_.dataset = run.dataset;
      series_.epochs = run.epochs;
      series_.points = run.curve;
      series_.validated = run.val_examples > 0;
      drawn_.clear();
    }
    screen_->show(Screen::Slot::plot, [this](const Terminal& terminal) { return draw(terminal); });
  }

  void on_replan(const RunInfo& run) override {
    const std::lock_guard lock(mutex_);
    series_.epochs = run.epochs;
    drawn_.clear();
  }

  void on_point(const CurvePoint& point) override {
    {
      const std::lock_guard lock(mutex_);
      series_.points.push_back(point);
      drawn_.clear();
    }
    screen_->refresh();
  }

  void on_epoch(const Progress&, double) override { screen_->refresh(true); }
  void on_finish(const FitResult&) override { screen_->keep(Screen::Slot::plot); }

 private:
  std::vector<std::string> draw(const Terminal& terminal) {
    if (terminal.width < kLeastTerminalWidth || terminal.height < kLeastTerminalHeight) return {};
    const TextPlotOptions options{.width = std::min(terminal.width, kMostWidth),
                                  .height = std::min(terminal.height - kLinesBesides, kMostHeight),
                                  .colors = terminal.colors,
                                  .utf8 = terminal.utf8};
    const std::lock_guard lock(mutex_);
    if (drawn_.empty() || options.width != options_.width || options.height != options_.height ||
        options.colors != options_.colors || options.utf8 != options_.utf8) {
      options_ = options;
      drawn_.clear();
      const std::string text = curves_text(std::span(&series_, 1), options);
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        drawn_.push_back(text.substr(at, end - at));
        at = end + 1;
      }
    }
    return drawn_;
  }

  std::shared_ptr<Screen> screen_;
  std::mutex mutex_;
  Series series_;
  TextPlotOptions options_;
  std::vector<std::string> drawn_;  // with options_, until a point comes
};

}  // namespace

std::shared_ptr<Observer> curves(ReportOptions options) {
  return std::make_shared<LiveCurves>(std::move(options));
}

}  // namespace resnet
