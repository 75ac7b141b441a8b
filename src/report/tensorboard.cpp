// A run as TensorBoard shows it.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "base/files.h"
#include "report/event_file.h"
#include "resnet/images.h"
#include "resnet/report.h"

namespace resnet {
namespace {

constexpr std::int64_t kLastSecond = 9'999'999'998;  // of ten digits, with room for another one

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// As a part of a file's name.
std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  std::string result = name.data();
  for (char& c : result) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!plain) c = '_';
  }
  return result;
}

// Markdown that shows a text as it is.
std::string as_code(const std::string& text) {
  std::string result = "    ";
  for (const char c : text) result += c == '\n' ? "\n    " : std::string(1, c);
  return result;
}

/// What the disk does not take is tried again with the next point, and at the end. The file is made with the
/// first one: a run that ends before leaves nothing.
class TensorBoard final : public Observer {
 public:
  TensorBoard(std::filesystem::path folder, TensorboardOptions options)
      : folder_(std::move(folder)), options_(std::move(options)) {}

  void on_start(const RunInfo& run) override {
    progress_ = run.done;
    validated_ = run.val_examples > 0;
    progress_.step = run.done_steps;
    stepped_ = false;
    // Also at the beginning of a run: TensorBoard takes the first one for that, and voids nothing for it.
    waiting_ += report::start_event({wall_time(), run.done_steps + 1});
    if (std::exchange(begun_, true)) return;
    make_directories(folder_);
    known_ = KnownFolder(folder_);
    if (run.done_steps == 0) describe();
  }

  void on_step(const Progress& progress) override {
    progress_ = progress;
    stepped_ = true;
  }

  void on_point(const CurvePoint& point) override {
    std::vector<std::pair<std::string, double>> scalars = {{"loss/train", point.loss},
                                                           {"accuracy/train", point.train_acc}};
    if (point.test_acc >= 0)
      scalars.emplace_back(validated_ ? "accuracy/val" : "accuracy/test", point.test_acc);
    scalars.emplace_back("epoch", point.x);
    if (stepped_) {
      scalars.emplace_back("lr", progress_.lr);
      scalars.emplace_back("examples_per_second", progress_.recent_examples_per_second);
    }
    waiting_ += report::scalars_event({wall_time(), progress_.step}, scalars);
    said_ = true;
    write();
  }

  void on_finish(const FitResult&) override {
    if (!said_) return;
    write();
    if (waiting_.empty()) return;
    throw IoError(fmt::format("the events for TensorBoard could not be written to {}", folder_.string()));
  }

 private:
  void describe() {
    const report::EventTime at{wall_time(), 0};
    if (!options_.settings.empty()) {
      waiting_ += report::text_event(at, "settings/text_summary", as_code(options_.settings));
    }
    if (options_.pictures) {
      const images::Image& sheet = *options_.pictures;
      const auto png = images::encode_png(sheet);
      waiting_ += report::image_event(at, "pictures", sheet.height, sheet.width, sheet.channels,
                                      {reinterpret_cast<const char*>(png.data()), png.size()});
    }
    options_ = {};
  }

  void write() {
    try {
      if (!file_) open();
      if (file_ && file_->append(waiting_)) waiting_.clear();
    } catch (const IoError&) {  // on_finish() tries again and reports
    }
  }

  // TensorBoard reads the files of a folder in the order of their names, so that of a run that goes on is to
  // be a later one.
  void open() {
    if (known_.is_gone()) return;
    std::int64_t second = std::max(static_cast<std::int64_t>(wall_time()), last_file() + 1);
    const std::string host = host_name();
    const auto path = [&] { return folder_ / fmt::format("events.out.tfevents.{:010}.{}", second, host); };
    while (!make_new_file(path())) ++second;
    file_.emplace(path());
    waiting_.insert(0, report::version_event(wall_time()));
  }

  // The second in the name of the last one; the clock may have gone back since. 0: there is none.
  std::int64_t last_file() const {
    constexpr std::string_view kFront = "events.out.tfevents.";
    std::int64_t last = 0;
    std::error_code ignored;
    for (const std::filesystem::path& name : list_names(folder_, ignored)) {
      const std::string text = name.string();
      std::int64_t second = 0;
      if (text.starts_with(kFront) &&
          std::from_chars(text.data() + kFront.size(), text.data() + text.size(), second).ec == std::errc())
        last = std::max(last, std::min(second, kLastSecond));
    }
    return last;
  }

  std::filesystem::path folder_;
  TensorboardOptions options_;
  KnownFolder known_;
  Progress progress_;
  std::string waiting_;  // to be written
  std::optional<AppendedFile> file_;
  bool begun_ = false, said_ = false;  // the run; a point
  bool stepped_ = false;               // since it began or went on
  bool validated_ = false;             // by a set of its own
};

}  // namespace

std::shared_ptr<Observer> tensorboard(std::filesystem::path folder, TensorboardOptions options) {
  return std::make_shared<TensorBoard>(std::move(folder), std::move(options));
}

}  // namespace resnet
