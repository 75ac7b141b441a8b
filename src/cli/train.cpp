#include <fmt/core.h>

#include <csignal>
#include <iostream>

#include "base/files.h"
#include "cli/claim.h"
#include "cli/command.h"
#include "cli/stop_signals.h"
#include "data/cache.h"
#include "report/run_record.h"
#include "resnet/model_file.h"
#include "resnet/report.h"
#include "train/batches.h"

namespace resnet::cli {
namespace {

// Saves the model before the records say that the run is finished, or when the run fails. A run that was
// stopped before its first step has no model, and leaves no folder.
class ModelKeeper final : public Observer {
 public:
  ModelKeeper(RunClaim& claim, std::string config, const nn::Module& net, const data::Dataset& dataset)
      : claim_(claim), config_(std::move(config)), net_(net), dataset_(dataset) {
    write_config();
  }
  void set_config(std::string config) {
    config_ = std::move(config);
    write_config();
  }
  void on_step(const Progress&) override { keep(); }
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
      say(std::string("the model could not be saved either: ") + error.what());
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
  void write_config() const { write_file(claim_.folder() / report::kConfigFile, config_); }

  RunClaim& claim_;
  std::string config_;
  const nn::Module& net_;
  const data::Dataset& dataset_;
  bool began_ = false, saved_ = false;
};

// Says what was decided before the first step. A run that a time decided is recorded by its steps, which
// repeat it.
class Decisions final : public Observer {
 public:
  Decisions(settings::Settings settings, ModelKeeper& keeper, bool quiet)
      : settings_(std::move(settings)), keeper_(keeper), quiet_(quiet) {}

  void on_start(const RunInfo& run) override {
    if (!quiet_) {
      if (const std::string text = settings::chosen_text(settings_); !text.empty()) say("settings: " + text);
      say(fmt::format("run: {} training examples, {} to test; {} steps in {} epochs", run.train_examples,
                      run.test_examples, run.steps, run.epochs));
    }
    if (settings_.seconds == 0) return;
    settings_.seconds = 0;
    settings_.epochs = run.epochs;
    settings_.steps = run.steps;
    keeper_.set_config(settings::to_toml(settings_));
  }

 private:
  settings::Settings settings_;
  ModelKeeper& keeper_;
  bool quiet_;
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
      throw FormatError(
          fmt::format("{} has other examples now than the run of {} had", training.name(), config_),
          "give --data or --data-dir to train on these");
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
    settings::initialise(net, chosen, training);
    FitOptions options = settings::fit_options(chosen, net, training);

    stop_at_signals();
    RunClaim claim(chosen.out, chosen.model);
    const std::filesystem::path& folder = claim.folder();
    const settings::Settings record = settings::recorded(chosen, training, test);
    const auto keeper = std::make_shared<ModelKeeper>(claim, settings::to_toml(record), net, training);
    if (!quiet_ && chosen.device == "auto") say("device: cpu (this build has no GPU engine)");

    options.stop = &stop_requested();
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
    } catch (...) {
      keeper->rescue();
      throw;
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
          (keeper->saved() ? fmt::format("after {} steps, saved in {}", result.steps, folder.string())
                           : "before the first step: nothing was trained, and nothing is kept"));
    }
    return stop_signal() == 0 ? kDone : kSignalBase + stop_signal();
  }

 private:
  settings::Settings base() const {
    if (config_.empty()) return {};
    if (report::is_other_file_of_run(config_, report::kConfigFile) || is_folder(config_)) {
      throw FormatError(fmt::format("--config: {} is no file of settings", config_),
                        report::hint_for_run(config_, report::kConfigFile, "give the config.toml of a run"));
    }
    return settings::from_toml(read_text(config_), config_);
  }

  std::string config_;
  bool json_ = false;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> make_train() {
  return std::make_unique<Train>();
}

}  // namespace resnet::cli
