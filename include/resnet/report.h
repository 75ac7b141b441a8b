// What a person sees of a run: progress bar, live curves, the run's folder, and the plot of the chapter
// (Dive into Deep Learning, section "Residual Networks (ResNet)") as SVG and as text. Observers of fit();
// they write to the screen they are given and nowhere else.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "resnet/images.h"
#include "resnet/train.h"

namespace resnet {

/// What a stream can show.
struct Terminal {
  bool interactive = false;     // a terminal whose cursor can be moved; else: plain lines
  int width = 80, height = 24;  // cells
  int colors = 0;               // 0, 16 or 256
  bool utf8 = false;            // else ASCII
};

/// Describes the stream behind `fd` as it is now: interactive if it is a terminal and TERM is neither
/// empty nor "dumb"; colours unless NO_COLOR is set; its size from the terminal, narrowed by COLUMNS
/// and LINES; UTF-8 from LC_ALL, LC_CTYPE and LANG.
Terminal terminal_of(int fd);

/// The lowest lines of a terminal, owned by one painter, so that a plot and a bar share them without
/// treading on each other. A frame is one write in which only changed lines are painted; lines
/// printed above it scroll away as usual. On a stream that is not interactive it only prints lines.
/// Safe to use from several threads. A stream that fails is written to no more.
class Screen {
 public:
  using Write = std::function<bool(std::string_view)>;  // false: the stream has failed
  using Look = std::function<Terminal()>;
  using Clock = std::function<double()>;  // seconds, monotonic
  /// Lines of text, without control characters but colours, at most Terminal::width cells each.
  using Panel = std::function<std::vector<std::string>(const Terminal&)>;

  enum class Slot { plot, bar };  // from top to bottom

  /// Looks at the terminal again for every frame, so that a new size is honoured.
  Screen(Write write, Look look, Clock clock = {});
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// The one screen of a file descriptor: the same object for everybody, as long as somebody has it.
  static std::shared_ptr<Screen> of(int fd);

  Terminal terminal() const;
  double now() const;  ///< by the clock

  void show(Slot slot, Panel panel);  ///< from now on, until keep() or remove()
  void keep(Slot slot);               ///< paints it a last time; it stays where it is and scrolls away
  void remove(Slot slot);             ///< clears it
  void print_above(std::string_view line);
  /// Paints, at most ten times a second unless `at_once`.
  void refresh(bool at_once = false);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct ReportOptions {
  std::shared_ptr<Screen> screen = nullptr;  // null: standard error, Screen::of(2)
};

/// A progress bar in tqdm's form for the epoch that runs and for its evaluation, with what is left of the
/// run, and a line for every finished epoch. On a stream that is not interactive lines alone: also one ten
/// seconds after the start and every minute from then on.
std::shared_ptr<Observer> progress(ReportOptions options = {});

/// The same for an evaluation by itself, of so many examples: for evaluate(), to be called with the number
/// that is done. The bar goes with the last copy of the function. `screen` null: standard error.
std::function<void(std::int64_t tested)> test_progress(std::int64_t examples,
                                                       std::shared_ptr<Screen> screen = nullptr);

/// The same for so many pictures that are given labels: for predict().
std::function<void(std::int64_t answered)> predict_progress(std::int64_t pictures,
                                                            std::shared_ptr<Screen> screen = nullptr);

/// The same for the scan of a folder: DatasetOptions::scanning. It shows nothing before its first call.
std::function<void(std::int64_t done, std::int64_t all)> scan_progress(
    std::shared_ptr<Screen> screen = nullptr);

/// The curves, redrawn in place while they grow; the last picture stays. Shows nothing on a stream
/// that is not interactive or in fewer than 40 x 12 cells.
std::shared_ptr<Observer> curves(ReportOptions options = {});

/// Keeps the records of a run in `folder`, which is made if need be: metrics.csv as points come,
/// curves.svg after every epoch, diagnosis.json of the last step that was not finite, result.json at the end.
/// Throws IoError.
std::shared_ptr<Observer> run_folder(std::filesystem::path folder);

struct TensorboardOptions {
  std::string settings = {};                   // shown as they are under "Text"; "": none
  std::optional<images::Image> pictures = {};  // shown under "Images", such as data of the run
};

/// Writes what TensorBoard shows to `folder`, which is made if need be: events.out.tfevents.<time>.<host>
/// with loss, accuracies, learning rate, speed and epoch of every point of the curves at its step. A run that
/// is resumed, or goes back to a checkpoint, voids what was said of later steps. A disk that fails ends no
/// training: what it does not take is tried again with the next point. Throws IoError at the start, and at
/// the end if something is still missing.
std::shared_ptr<Observer> tensorboard(std::filesystem::path folder, TensorboardOptions options = {});

/// The curves of one run.
struct Series {
  std::string name = {};                 // tells runs apart where there are several
  std::string model = {}, dataset = {};  // of the title; may be empty
  std::int64_t epochs = 0;               // length of the x axis; 0: as far as the points go
  std::vector<CurvePoint> points = {};
  bool validated = false;  // whether CurvePoint::test_acc is of a validation set
};

/// The curves that a run's folder (or a metrics.csv) holds. Throws IoError or FormatError.
Series load_series(const std::filesystem::path& run);

/// The chapter's plot: train loss solid, train accuracy dashed, test accuracy dash-dotted over epochs.
/// Self-contained, without scripts; light or dark as the reader's system is. Several runs share the
/// styles and differ in marker and opacity. Values that are not finite leave a gap. Some
/// hundred KB a run at most: of very many points those that the eye could tell apart.
std::string curves_svg(std::span<const Series> runs);

struct TextPlotOptions {
  int width = 80, height = 18;  // cells; several runs add a line each
  int colors = 0;               // 0, 16 or 256
  bool utf8 = true;             // braille dots; else ASCII
};

/// The same plot as text: lines that end in '\n'. Empty in fewer than 24 x 8 cells; at most 1000 x 1000.
std::string curves_text(std::span<const Series> runs, const TextPlotOptions& options = {});

}  // namespace resnet
