#include "cli/seeds.h"

#include <fmt/core.h>

#include <chrono>
#include <limits>
#include <utility>
#include <vector>

#include "base/files.h"
#include "cli/claim.h"
#include "cli/command.h"
#include "cli/earlier.h"
#include "cli/stop_signals.h"
#include "report/run_record.h"
#include "report/seeds.h"
#include "resnet/checkpoint.h"
#include "resnet/report.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

class Seeds {
 public:
  Seeds(const Training& first, bool longer)
      : first_(first),
        longer_(longer),
        claim_(first.resumed.empty() ? RunClaim(first.chosen.out, first.chosen.model)
                                     : RunClaim::of_run(first.resumed)) {}

  SeedRuns run() {
    for (std::int64_t n = 0; n < count() && stop_signal() == 0; ++n) {
      const std::uint64_t seed = seed_of(n);
      const fs::path folder = folder_of(n);
      refuse_link(folder);
      report::check_files(folder);
      if (!first_.quiet) say(fmt::format("seed {} ({} of {})", seed, n + 1, count()));
      const bool ended = !longer_ && has_ended(folder);
      const FitResult result =
          ended ? report::read_result(folder / report::kResultFile) : train(seed, folder);
      if (result.complete) results_.push_back(result);
      if (kept_ && begun_) summarise();
    }
    if (kept_ && !begun_) {  // all had ended, or it was stopped
      begin();
      summarise();
    }
    return {.folder = kept_ ? claim_.folder() : fs::path(),
            .ended = static_cast<std::int64_t>(results_.size()),
            .wanted = count(),
            .text = report::summary_text(results_),
            .json = summary()};
  }

 private:
  std::int64_t count() const { return first_.chosen.seeds; }
  std::uint64_t seed_of(std::int64_t n) const { return first_.chosen.seed + static_cast<std::uint64_t>(n); }
  fs::path folder_of(std::int64_t n) const { return claim_.folder() / report::seed_folder(seed_of(n)); }

  // What the folder says of all runs. Of those that are to be longer none has ended any more: else a resume
  // would take a shorter one for it. Nothing changes before one of them is known to go on, and what it says of
  // itself after that.
  void begin() {
    if (std::exchange(begun_, true)) return;
    for (std::int64_t n = 0; longer_ && n < count(); ++n) remove_for_good(folder_of(n) / report::kResultFile);
    settings::Settings all = settings::with_whole_paths(first_.chosen);
    for (std::string* hash : {&all.train_sha256, &all.test_sha256, &all.val_sha256})
      hash->clear();  // each run has its own: the split may follow from the seed
    write_file(claim_.folder() / report::kConfigFile, settings::to_toml(all), &claim_.known());
  }

  bool has_ended(const fs::path& folder) {
    if (!is_there(folder / report::kResultFile)) return false;
    keep();
    return report::read_result(folder / report::kResultFile).complete;
  }

  FitResult train(std::uint64_t seed, const fs::path& folder) {
    Training run = first_;
    run.chosen.seed = seed;
    run.chosen.seeds = 1;
    run.chosen.out = folder.string();
    run.resumed.clear();
    take_known(run);
    if (trained_ || !first_.resumed.empty()) run.begin = std::chrono::steady_clock::now();
    trained_ = true;
    run.begun = [this] { begin(); };
    if (const fs::path config = folder / report::kConfigFile; is_begun(folder)) {
      run.resumed = folder.string();
      run.earlier = settings::from_toml(read_text(config), config.string());
    }
    try {
      const Trained trained = train_run(run);
      if (trained.saved) keep();
      return trained.result;
    } catch (...) {
      if (is_begun(folder)) claim_.keep();
      throw;
    }
  }

  // A seed that begins has the data of those that have begun.
  void take_known(Training& run) const {
    for (std::int64_t n = 0; n < count(); ++n) {
      if (!is_begun(folder_of(n))) continue;
      const fs::path config = folder_of(n) / report::kConfigFile;
      run.earlier = settings::from_toml(read_text(config), config.string());
      run.config = config.string();
      run.other_data = false;
      run.of_seeds = true;
      return;
    }
  }

  static bool is_begun(const fs::path& folder) {
    return is_there(folder / report::kMetricsFile) && is_there(folder / report::kConfigFile);
  }

  void keep() {
    claim_.keep();
    kept_ = true;
  }

  std::string summary() const {
    const fs::path config = fs::absolute(claim_.folder() / report::kConfigFile).lexically_normal();
    return report::summary_json(results_, first_.chosen.seeds,
                                fmt::format("resnet train --config {} --out DIR", config.string()));
  }

  void summarise() const {
    write_file(claim_.folder() / report::kSummaryFile, summary() + "\n", &claim_.known());
    std::vector<Series> curves;
    for (const fs::path& run : report::runs_in(claim_.folder())) {
      curves.push_back(load_series(run));
      curves.back().name = run.filename().string();
    }
    write_file(claim_.folder() / report::kCurvesFile, report::band_svg(curves), &claim_.known());
  }

  const Training& first_;
  bool longer_;
  RunClaim claim_;
  std::vector<FitResult> results_;
  bool begun_ = false, trained_ = false, kept_ = false;
};

// What the runs of seeds that go on may have otherwise is what a single run may; the rest must be as it was,
// also for the seeds that have not begun.
void check_resumed(const Training& first) {
  if (first.earlier.seeds == 1) {
    throw ConfigError(fmt::format("{} is one run and not a folder of seeds' runs", first.resumed),
                      "leave --seeds out, or begin them in a folder of their own");
  }
  if (first.chosen.seeds < first.earlier.seeds) {
    throw ConfigError(
        fmt::format("{} has {} seeds; they may become more, not fewer", first.resumed, first.earlier.seeds));
  }
  check_unchanged(first, options_but_those_that_may_change());
}

}  // namespace

SeedRuns train_seeds(const Training& first, bool longer) {
  const settings::Settings& chosen = first.chosen;
  if (!first.resumed.empty()) check_resumed(first);
  if (chosen.seed >
      std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(chosen.seeds - 1)) {
    throw ConfigError(
        fmt::format("--seeds: {} seeds from {} on go beyond 2^64-1", chosen.seeds, chosen.seed));
  }
  return Seeds(first, longer).run();
}

}  // namespace resnet::cli
