// What a run has to share with an earlier one.
#include "cli/earlier.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>

#include "data/sources.h"
#include "settings/options.h"
#include "train/batches.h"

namespace resnet::cli {
namespace {

std::int64_t steps_of_epochs(const settings::Settings& settings, std::int64_t per_epoch) {
  std::int64_t steps = 0;
  const bool overflows = __builtin_mul_overflow(settings.epochs, per_epoch, &steps);
  return overflows ? std::numeric_limits<std::int64_t>::max() : steps;
}

// Steps of a run that no time ends.
std::int64_t steps_of(const settings::Settings& settings, std::int64_t per_epoch) {
  if (!settings.step_changes.empty()) return settings.step_changes.back().steps;
  const std::int64_t steps = steps_of_epochs(settings, per_epoch);
  return settings.steps > 0 ? std::min(steps, settings.steps) : steps;
}

}  // namespace

bool has_known_data(const Training& run, const data::TrainTest& sets) {
  const settings::Settings& known = run.earlier;
  const bool split_anew = data::is_folder_of_pictures(data::full_name(run.chosen.data)) &&
                          !known.train_sha256.empty() &&
                          (run.chosen.seed != known.seed || run.chosen.val_split != known.val_split);
  if (!split_anew) return settings::is_data_of(known, sets);
  settings::Settings as_before = run.chosen;
  as_before.seed = known.seed;
  as_before.val_split = known.val_split;
  data::TrainTest before = settings::open_data(as_before);
  if (!sets.validation) before.validation.reset();
  return settings::is_data_of(known, before);
}

std::vector<std::string> options_but_those_that_may_change(const std::vector<std::string>& others) {
  constexpr auto kMayChange = std::to_array<std::string_view>(
      {"seeds", "epochs", "steps", "time", "device", "threads", "memory", "loader-threads",
       "checkpoint-every", "keep", "on-nan", "cache", "cache-size", "tensorboard",
       "out",                                          // the folder may have been moved
       "train-sha256", "test-sha256", "val-sha256"});  // which has_known_data() compares
  std::vector<std::string> fixed;
  for (const settings::Option& option : settings::options()) {
    if (std::ranges::find(kMayChange, option.name) == kMayChange.end() &&
        std::ranges::find(others, option.name) == others.end())
      fixed.push_back(option.name);
  }
  return fixed;
}

void check_unchanged(const Training& run, const std::vector<std::string>& names) {
  const bool many = run.earlier.seeds > 1;
  const settings::Settings now = settings::with_whole_paths(run.chosen);
  for (const std::string& name : names) {
    const settings::Option& option = settings::option(name);
    const std::string had = option.get(run.earlier), has = option.get(now);
    if (had == has) continue;
    throw ConfigError(
        fmt::format("the run{} of {} {} --{} {}, {} {}", many ? "s" : "", run.resumed, many ? "have" : "has",
                    name, had.empty() ? "unset" : had, many ? "these have" : "this one",
                    has.empty() ? "none" : has),
        many ? "leave it out, or begin them in a folder of their own" : "leave it out, or begin a new run");
  }
}

void check_longer(const Training& run, const data::Dataset& training) {
  const settings::Settings& chosen = run.chosen;
  const bool resumed = !run.resumed.empty();
  if (!resumed && run.config.empty()) return;
  const std::int64_t batches = settings::training_loader(chosen, training).batches();
  const std::int64_t per_epoch = train::steps_of(batches, chosen.accumulate);
  const std::int64_t had = steps_of(run.earlier, per_epoch);
  if (resumed && chosen.seconds == 0 && run.earlier.seconds == 0 && steps_of(chosen, per_epoch) < had) {
    throw ConfigError(
        fmt::format("the run of {} has {} steps; it may become longer, not shorter", run.resumed, had),
        "leave --epochs and --steps out, or give more; Ctrl-C ends a run with what it has");
  }
  if (resumed && run.steps_alone && chosen.step_changes.empty() &&
      chosen.steps > steps_of_epochs(chosen, per_epoch)) {
    throw ConfigError(fmt::format("the run of {} ends after {} epochs, {} steps; --steps {} changes nothing",
                                  run.resumed, chosen.epochs, had, chosen.steps),
                      "give --epochs too");
  }
  if (!run.epochs_alone) return;
  const bool by_steps = chosen.steps > 0 && (!chosen.step_changes.empty() ||
                                             chosen.steps <= steps_of_epochs(run.earlier, per_epoch));
  if (chosen.seconds == 0 && !by_steps) return;
  throw ConfigError(
      fmt::format("the run of {} ends {}; --epochs changes nothing", resumed ? run.resumed : run.config,
                  chosen.seconds > 0 ? "when its time is over" : "after its planned steps"),
      resumed ? "give --time, or --steps and --epochs" : "give --steps 0, or --time 0, too");
}

}  // namespace resnet::cli
