#include "cli/claim.h"

#include <fmt/core.h>

#include <new>
#include <utility>

#include "cli/stop_signals.h"
#include "report/run_record.h"
#include "report/seeds.h"
#include "resnet/checkpoint.h"
#include "resnet/error.h"
#include "settings/settings.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

// Whether it came from a run that wrote no more than this; "" is what make_new_file() leaves.
bool is_left_over(const fs::path& path, const std::string& name) {
  constexpr std::int64_t kMost = 1 << 16;
  if (kind_of_itself(path) != PathKind::file || InputFile(path).size() > kMost) return false;
  if (name == report::kMetricsFile) {
    const std::string text = read_text(path);
    return text == report::metrics_header() || text == report::metrics_header(true);
  }
  if (name != report::kConfigFile) return false;
  const std::string text = read_text(path);
  return text.empty() || text.starts_with(settings::kTomlHeading);
}

// What of a run stands in a folder; null where it is no more than left over.
const char* worth_keeping(const fs::path& folder) {
  for (const char* name : {report::kConfigFile, report::kMetricsFile, report::kCurvesFile,
                           report::kResultFile, report::kModelFile}) {
    const fs::path path = folder / name;
    if (kind_of_itself(path) != PathKind::nothing && !is_left_over(path, name)) return name;
  }
  // They may come before the first figures.
  return checkpoints_in(folder / report::kCheckpoints).empty() ? nullptr : report::kCheckpoints;
}

}  // namespace

void refuse_link(const fs::path& folder) {
  if (kind_of_itself(folder) == PathKind::link)
    throw IoError(fmt::format("{} is a link, and what it leads to is not this run's", folder.string()),
                  "give another --out; nothing was written there");
}

RunClaim::RunClaim(const std::string& out, const std::string& model) {
  try {
    if (out.empty()) {
      claim_new(model);
    } else {
      claim(out);
    }
    for (const char* name :
         {report::kConfigFile, report::kMetricsFile, report::kCurvesFile, report::kResultFile})
      records_.push_back(folder_ / name);
    checkpoints_ = folder_ / report::kCheckpoints;
    if (made_) remove_at_signals(folder_.c_str());
  } catch (const std::bad_alloc&) {
    if (made_) remove_folder(folder_);
    throw;
  }
}

RunClaim::RunClaim(fs::path folder) : folder_(without_slash(std::move(folder))), kept_(true) {
  refuse_link(folder_ / report::kCheckpoints);
  lock_.emplace(folder_);
}

void RunClaim::claim_new(const std::string& model) {
  make_directories("runs");
  for (int n = 1; !made_; ++n) {
    folder_ = fs::path("runs") / fmt::format("{}-{}", model, n);
    made_ = make_directories(folder_);
  }
  lock_.emplace(folder_);
}

void RunClaim::claim(const fs::path& folder) {
  folder_ = without_slash(folder);
  refuse_link(folder_ / report::kCheckpoints);
  lock_.emplace(folder_);
  made_ = lock_->made();
  const auto refuse = [this](const std::string& name) {
    throw IoError(fmt::format("{} already holds a run (its {})", folder_.string(), name),
                  "give another --out; nothing of it was touched");
  };
  if (const char* const name = worth_keeping(folder_); name != nullptr) refuse(name);
  for (const fs::path& run : report::runs_in(folder_)) {  // of seeds; or the folder itself
    if (run == folder_) continue;
    if (const char* const name = worth_keeping(run); name != nullptr)
      refuse((run.filename() / name).string());
  }
  if (const fs::path config = folder_ / report::kConfigFile; is_there(config)) config_ = read_text(config);
  // Where the system cannot lock a folder, whoever makes the first file has it.
  if (!lock_->held() && !make_new_file(folder_ / report::kConfigFile)) refuse(report::kConfigFile);
}

// It may be the only copy of what somebody wrote, and stands in its place again without being removed before.
void RunClaim::restore_config() const noexcept {
  if (config_.empty()) return;
  try {
    write_file(records_.front(), config_, &known());
  } catch (const std::exception&) {  // there is nobody to tell
  }
}

RunClaim::~RunClaim() {
  remove_at_signals(nullptr);
  if (kept_ || is_gone()) return;
  for (const fs::path& file : records_) {
    if (config_.empty() || file != records_.front()) remove_file(file);
  }
  restore_config();
  remove_folder(checkpoints_);
  if (made_) remove_folder(folder_);
}

}  // namespace resnet::cli
