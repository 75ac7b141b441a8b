#include <fmt/core.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <utility>

#include "base/clock.h"
#include "base/files.h"
#include "base/memory.h"
#include "cli/claim.h"
#include "cli/command.h"
#include "cli/stop_signals.h"
#include "data/cache.h"
#include "report/run_record.h"
#include "report/text.h"
#include "resnet/model_file.h"
#include "resnet/report.h"
#include "train/batches.h"
#include "train/memory.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

const SteadyTime kProgramStart = std::chrono::steady_clock::now();

// Saves the model before the records say that the run is finished, or when the run fails. A run that was
// stopped before its first step has no model, and leaves no folder.
class ModelKeeper final : public Observer {
 public:
  /// `resumed`: there is a run already, which nothing may change before it is known to go on.
  ModelKeeper(RunClaim& claim, bool resumed, std::string config, const nn::Module& net,
              const data::Dataset& dataset)
      : claim_(claim), config_(std::move(config)), net_(net), dataset_(dataset) {
    if (!resumed) write_config();
  }
  void on_start(const RunInfo& run) override {
    if (!config_written_) write_config();
    if (run.done_steps > 0) keep();
  }
  void set_config(std::string config) {
    config_ = std::move(config);
    write_config();
  }
  void on_step(const Progress&) override { keep(); }
  void on_nonfinite(const Diagnosis&) override { claim_.keep(); }  // its diagnosis
  void on_finish(const FitResult&) override {
    if (!began_) return;
    const std::filesystem::path folder = save();
    if (folder == claim_.folder()) return;
    throw IoError(
        fmt::format("{} was moved or removed, and another folder is there", claim_.folder().string()),
        "the model is in " + folder.string());
  }
  bool saved() const noexcept { return saved_; }

  // What was trained is saved as well if the records, the memory or an evaluation fail; a run that never
  // began leaves no folder.
  void rescue() {
    if (!began_ || saved_) return;
    try {
      save();
    } catch (const std::exception& error) {
      say(std::string("the model could not be saved either: ") + reason(error));
    }
  }

 private:
  void keep() {
    began_ = true;
    claim_.keep();
  }
  std::filesystem::path save() {
    const std::filesystem::path folder = folder_that_is_there();
    save_model(folder / report::kModelFile, net_, dataset_);
    saved_ = true;
    return folder;
  }
  // A folder that was moved or removed while the run went on is made again; where another one has taken its
  // place, which may be another run's, a new one stands in.
  std::filesystem::path folder_that_is_there() {
    std::filesystem::path folder = claim_.folder();
    if (!claim_.is_gone()) return folder;
    for (int n = 2; !make_directories(folder); ++n)
      folder = fmt::format("{}-{}", claim_.folder().string(), n);
    write_file(folder / report::kConfigFile, config_);
    say(fmt::format("note: {} was moved or removed while the run went on; its model is in {}",
                    claim_.folder().string(), folder.string()));
    return folder;
  }
  void write_config() {
    write_file(claim_.folder() / report::kConfigFile, config_, &claim_.known());
    config_written_ = true;
  }

  RunClaim& claim_;
  std::string config_;
  const nn::Module& net_;
  const data::Dataset& dataset_;
  bool config_written_ = false, began_ = false, saved_ = false;
};

// Says what was decided before the first step. A run that a time decided is recorded by its steps, which
// repeat it.
class Decisions final : public Observer {
 public:
  Decisions(settings::Settings settings, ModelKeeper& keeper, bool quiet)
      : settings_(std::move(settings)), keeper_(keeper), quiet_(quiet) {}

  void on_start(const RunInfo& run) override {
    if (!quiet_ && !std::exchange(said_, true)) {  // it goes back to a start (--on-nan)
      const std::string text = settings::chosen_text(settings_);
      say("settings: " + (text.empty() ? "the chapter's" : text));
      say(fmt::format("run: {} classes, {} training examples, {} to test; {} steps in {} epochs{}",
                      run.classes, run.train_examples, run.test_examples, run.steps, run.epochs,
                      time_text(run)));
    }
    if (settings_.seconds > 0) record(run);
  }
  void on_replan(const RunInfo& run) override { record(run); }
  // What ends the run is its error.
  void on_nonfinite(const Diagnosis& diagnosis) override {
    if (diagnosis.outcome == "stop") return;
    say(fmt::format("note: {}; {}", to_string(diagnosis),
                    diagnosis.outcome == "skip" ? fmt::format("it is left out ({} so far)", diagnosis.skipped)
                                                : fmt::format("going back, with a rate of 1/{}",
                                                              std::int64_t{1} << diagnosis.rollbacks)));
  }

 private:
  static std::string time_text(const RunInfo& run) {
    if (run.seconds == 0) return "";
    return fmt::format(", {} {}", run.bounded ? "as many as fit into" : "about",
                       report::interval(run.seconds));
  }
  void record(const RunInfo& run) {
    settings_.seconds = 0;
    settings_.epochs = run.epochs;
    settings_.steps = run.planned_steps;
    settings_.step_changes = run.step_changes;
    keeper_.set_config(settings::to_toml(settings_));
  }

  settings::Settings settings_;
  ModelKeeper& keeper_;
  bool quiet_, said_ = false;
};

class Train final : public Command {
 public:
  Train()
      : Command("train",
                "Train a network. Without flags: the chapter's ResNet-18 on Fashion-MNIST at 96x96.") {
    accept_all_but({"input"});
    accept_data();
    add({.name = "config",
         .placeholder = "FILE",
         .help = "settings from a run's config.toml; flags override them",
         .target = &config_});
    add({.name = "resume",
         .placeholder = "RUN",
         .help = "go on with a run from its newest checkpoint, as it was; it may become longer",
         .target = &resumed_});
    add({.name = "json", .help = "print the result as JSON", .target = &json_});
    add({.name = "quiet", .help = "no progress bar, no curves", .target = &quiet_});
  }

  int run() override {
    std::signal(SIGPIPE, SIG_IGN);  // who read the progress may leave, the run goes on
    const settings::Settings earlier = base();
    const settings::Settings chosen = from_flags(with_data(earlier));
    const auto [training, test] = settings::open_data(chosen, told_scan(quiet_));
    const bool other_data = argument("data").given || argument("data-dir").given || argument("DATA").given;
    if (!other_data && !(settings::is_data_of(earlier, data::Split::train, training) &&
                         settings::is_data_of(earlier, data::Split::test, test))) {
      throw FormatError(fmt::format("{} has other examples now than the run of {} had", training.name(),
                                    resumed_.empty() ? config_ : resumed_),
                        resumed_.empty()
                            ? "give --data or --data-dir to train on these"
                            : "a run goes on with the data it began with; begin a new one with these");
    }
    if (const std::string note = note_of_missing_classes(training); !note.empty()) say("note: " + note);
    const Shape& example = training.example_shape();
    nn::Sequential net =
        settings::make_model(chosen, example[0], static_cast<std::int64_t>(training.classes().size()));
    if (const std::string note = data::cache_note({training, test}, settings::cache_options(chosen),
                                                  settings::augmentation(chosen));
        !note.empty() && !quiet_) {
      say("note: " + note);
    }
    // What cannot run is found before a folder is made.
    check(settings::engine_options(chosen));
    train::check_batches(net, training, chosen.batch_size, chosen.drop_last);
    train::check_parameters(net, settings::engine_options(chosen).memory);
    const bool begun =
        !resumed_.empty() && !checkpoints_in(fs::path(resumed_) / report::kCheckpoints).empty();
    if (!begun) settings::initialise(net, chosen, training);
    FitOptions options = settings::fit_options(chosen, net, training);

    stop_at_signals();
    RunClaim claim = resumed_.empty() ? RunClaim(chosen.out, chosen.model) : RunClaim::of_run(resumed_);
    const fs::path& folder = claim.folder();
    const settings::Settings record = settings::recorded(chosen, training, test);
    const auto keeper =
        std::make_shared<ModelKeeper>(claim, !resumed_.empty(), settings::to_toml(record), net, training);
    if (!quiet_ && chosen.device == "auto") say("device: cpu (this build has no GPU engine)");

    options.checkpoints = settings::checkpoint_options(chosen, folder);
    options.checkpoints.resume = !resumed_.empty();
    options.checkpoints.note = [](const std::string& line) { say("note: " + line); };
    options.stop = &stop_requested();
    options.estimate = !quiet_;
    options.spent = seconds_since(kProgramStart);
    options.observers.push_back(std::make_shared<Decisions>(record, *keeper, quiet_));
    if (!quiet_) {
      options.observers.push_back(curves());
      options.observers.push_back(progress());
    }
    options.observers.push_back(keeper);
    options.observers.push_back(run_folder(folder));
    FitResult result;
    try {
      result = fit(net, training, test, options);
    } catch (const NotKept&) {  // `net` is not what was trained
      throw;
    } catch (...) {
      keeper->rescue();
      throw;
    }

    if (!quiet_ && chosen.seconds > 0) {
      say(fmt::format("time: {:.1f} s of {:.1f} s, {} steps ({})", seconds_since(kProgramStart),
                      chosen.seconds, result.steps, result.step_plan));
    }
    if (!quiet_ && stop_signal() == 0) say("run: " + folder.string());
    if (json_) {
      std::cout << report::to_json(result) << '\n';
    } else {
      std::cout << result;
    }
    std::cout.flush();
    if (stop_signal() != 0) {
      say("resnet: stopped " +
          (keeper->saved()
               ? fmt::format("after {} steps, saved in {}{}", result.steps, folder.string(),
                             options.checkpoints.folder.empty() ? "" : "; --resume goes on with it")
               : "before the first step: nothing was trained, and nothing is kept"));
    }
    return stop_signal() == 0 ? kDone : kSignalBase + stop_signal();
  }

 private:
  settings::Settings base() const {
    if (!resumed_.empty()) return settings_of(resumed_);
    if (config_.empty()) return {};
    if (report::is_other_file_of_run(config_, report::kConfigFile) || is_folder(config_)) {
      throw FormatError(fmt::format("--config: {} is no file of settings", config_),
                        report::hint_for_run(config_, report::kConfigFile, "give the config.toml of a run"));
    }
    return settings::from_toml(read_text(config_), config_);
  }

  settings::Settings settings_of(const fs::path& run) const {
    for (const char* other : {"config", "out"}) {
      if (argument(other).given)
        throw ConfigError(fmt::format("--{} cannot be given with --resume", other),
                          "a run goes on with its own settings, in its own folder");
    }
    const fs::path config = run / report::kConfigFile;
    if (!path_exists(config)) {
      throw IoError(
          fmt::format("--resume: {} is no run's folder: it has no {}", run.string(), report::kConfigFile),
          report::hint_for_run(run, report::kConfigFile, "give the folder of a run"));
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
