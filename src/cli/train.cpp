#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <iostream>

#include "base/files.h"
#include "cli/command.h"
#include "cli/earlier.h"
#include "cli/seeds.h"
#include "cli/stop_signals.h"
#include "cli/training.h"
#include "data/sources.h"
#include "report/run_record.h"
#include "resnet/checkpoint.h"
#include "settings/options.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

const SteadyTime kProgramStart = std::chrono::steady_clock::now();

class Train final : public Command {
 public:
  Train()
      : Command(
            "train",
            "Train a network. Without flags: the chapter's ResNet-18 on Fashion-MNIST at 96x96; of a folder "
            "of pictures a ResNet-18 by the recipe scratch, or finetune with --init.") {
    accept_all_but({"input"});
    accept_data();
    add_config(config_);
    add({.name = "resume",
         .placeholder = "RUN",
         .help = "go on with a run from its newest checkpoint, as it was; it may become longer",
         .target = &resumed_});
    add({.name = "json", .help = "print the result as JSON", .target = &json_});
    add({.name = "quiet", .help = "no progress bar, no curves", .target = &quiet_});
  }

  int run() override {
    const settings::Settings earlier = resumed_.empty() ? settings_in(config_) : settings_of(resumed_);
    const bool is_new = resumed_.empty() && config_.empty();
    settings::Settings chosen = with_data(earlier);
    if (is_new) chosen = with_recipe(std::move(chosen), argument("init").given);
    chosen = from_flags(std::move(chosen));
    check_flags(chosen);
    if (!chosen.init.empty() && resumed_.empty())  // a recipe's; the file has all weights
      chosen.dirac = chosen.zero_gamma = chosen.whiten = false;
    if (!chosen.init.empty() && resumed_.empty() && (argument("init").given || chosen.init_sha256.empty()))
      chosen.init_sha256 = settings::init_sha256(chosen);
    if (!resumed_.empty() && chosen.checkpoint_seconds == 0 && chosen.checkpoint_steps == 0)
      throw ConfigError("--checkpoint-every 0 cannot be given with --resume",
                        "a run that goes on keeps checkpoints, which make that possible");
    const bool other_data = argument("data").given || argument("data-dir").given || argument("DATA").given;
    const Training training{
        .chosen = chosen,
        .earlier = earlier,
        .other_data = other_data,
        .resumed = resumed_,
        .config = config_,
        .quiet = quiet_,
        .epochs_alone = argument("epochs").given && !argument("steps").given && !argument("time").given,
        .steps_alone = argument("steps").given && !argument("epochs").given && !argument("time").given,
        .begin = kProgramStart};
    if (chosen.seeds > 1 || (!resumed_.empty() && earlier.seeds > 1)) return run_seeds(training);
    const Trained trained = train_run(training);
    if (json_) {
      std::cout << report::to_json(trained.result) << '\n';
    } else {
      std::cout << trained.result;
    }
    std::cout.flush();
    if (stop_signal() == 0) return kDone;
    say("resnet: stopped " +
        (trained.saved
             ? fmt::format("after {} steps, saved in {}{}", trained.result.steps, trained.folder.string(),
                           trained.resumable ? "; --resume goes on with it" : "")
             : "before the first step: nothing was trained, and nothing is kept"));
    return kSignalBase + stop_signal();
  }

 private:
  // Flags that would do nothing, of those that somebody gave: recipes and files may have more than is used.
  void check_flags(const settings::Settings& chosen) const {
    const auto of_schedule = [&](std::initializer_list<ScheduleKind> kinds) {
      return std::ranges::find(kinds, chosen.schedule.kind) != kinds.end();
    };
    using Kind = ScheduleKind;
    const bool adamw = chosen.optimizer == "adamw";
    const bool starts = of_schedule({Kind::one_cycle, Kind::triangular}) || chosen.schedule.warmup_epochs > 0;
    const bool falls = of_schedule({Kind::cosine, Kind::one_cycle, Kind::polynomial, Kind::triangular});
    if (adamw) refuse({"momentum"}, "with --optimizer adamw");
    if (adamw && chosen.nesterov) refuse({"nesterov"}, "with --optimizer adamw");
    if (!adamw) refuse({"beta1", "beta2"}, "without --optimizer adamw");
    if (!starts) refuse({"lr-start"}, "without --warmup, or --schedule one-cycle or triangular");
    if (!falls) refuse({"lr-final"}, "without --schedule cosine, one-cycle, polynomial or triangular");
    if (!of_schedule({Kind::one_cycle, Kind::triangular}))
      refuse({"lr-peak"}, "without --schedule one-cycle or triangular");
    if (!of_schedule({Kind::polynomial})) refuse({"lr-power"}, "without --schedule polynomial");
    if (!of_schedule({Kind::step})) refuse({"lr-gamma", "lr-every"}, "without --schedule step");
    if (!of_schedule({Kind::one_cycle})) refuse({"low-momentum"}, "without --schedule one-cycle");
    refuse_idle_changes(chosen);
    if (chosen.cache == "none") refuse({"cache-size"}, "without --cache memory or disk");
    for (const auto& [flag, is_on] :
         {std::pair("dirac", chosen.dirac), std::pair("zero-gamma", chosen.zero_gamma),
          std::pair("whiten", chosen.whiten)}) {
      if (is_on && !chosen.init.empty()) refuse({flag}, "with --init, which gives all weights");
    }
    if (chosen.zero_gamma && settings::option("shortcut").get(chosen) == "none")
      refuse({"zero-gamma"}, "with --shortcut none, whose blocks would pass nothing on");
    if (chosen.checkpoint_seconds == 0 && chosen.checkpoint_steps == 0)
      refuse({"keep"}, "with --checkpoint-every 0");
    if (!data::is_folder_of_pictures(data::full_name(chosen.data))) {
      const char* const without = "without a folder of pictures";
      refuse({"val-split"}, without);
      if (chosen.on_bad_file != "stop") refuse({"on-bad-file"}, without);
      if (chosen.jpeg != "full") refuse({"jpeg"}, without);
    }
    if (chosen.seconds > 0 && resumed_.empty())
      refuse({"epochs", "steps"}, "with --time, which ends the run");
  }

  int run_seeds(const Training& first) const {
    const bool longer = argument("epochs").given || argument("steps").given || argument("time").given;
    const SeedRuns runs = train_seeds(first, longer);
    if (!quiet_ && !runs.folder.empty()) say("runs: " + runs.folder.string());
    std::cout << (json_ ? runs.json + "\n" : runs.text);
    std::cout.flush();
    if (stop_signal() == 0) return kDone;
    const bool resumable = first.chosen.checkpoint_seconds > 0 || first.chosen.checkpoint_steps > 0;
    say(fmt::format("resnet: stopped after {} of {} seeds; {}", runs.ended, runs.wanted,
                    runs.folder.empty() ? "nothing was trained, and nothing is kept"
                    : resumable         ? "resnet train --resume " + runs.folder.string() + " goes on"
                                        : "what was trained is in " + runs.folder.string()));
    return kSignalBase + stop_signal();
  }

  settings::Settings settings_of(const fs::path& run) const {
    for (const char* other : {"config", "out"}) {
      if (argument(other).given)
        throw ConfigError(fmt::format("--{} cannot be given with --resume", other),
                          "a run goes on with its own settings, in its own folder");
    }
    report::check_files(run);
    const fs::path config = run / report::kConfigFile;
    if (!path_exists(config)) {
      const fs::path folder = run.has_parent_path() ? run.parent_path() : ".";
      const bool is_file_of_run = !is_folder(run) && is_there(folder / report::kConfigFile);
      throw IoError(
          fmt::format("--resume: {} is no run's folder: it has no {}", run.string(), report::kConfigFile),
          is_file_of_run ? fmt::format("give the folder, {}", folder.string())
                         : report::hint_for_run(run, report::kConfigFile, "give the folder of a run"));
    }
    settings::Settings settings = settings::from_toml(read_text(config), config.string());
    if (settings.checkpoint_seconds == 0 && settings.checkpoint_steps == 0) {
      throw ConfigError(fmt::format("{} was trained without checkpoints", run.string()),
                        "resnet train --config " + config.string() + " --out DIR trains it anew");
    }
    return settings;
  }

  std::string config_, resumed_;
  bool json_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_train() {
  return std::make_unique<Train>();
}

}  // namespace resnet::cli
