// One run of `resnet train`.
#include "cli/training.h"

#include <fmt/core.h>

#include <csignal>
#include <functional>
#include <utility>

#include "base/files.h"
#include "base/joined.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/claim.h"
#include "cli/command.h"
#include "cli/earlier.h"
#include "cli/stop_signals.h"
#include "data/cache.h"
#include "data/contact_sheet.h"
#include "data/sources.h"
#include "io/model_metadata.h"
#include "report/run_record.h"
#include "report/text.h"
#include "resnet/folder.h"
#include "resnet/model_file.h"
#include "resnet/report.h"
#include "settings/options.h"
#include "train/batches.h"
#include "train/memory.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

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
    if (!config_written_ && !began_) write_config();
    if (run.done_steps > 0) keep();
  }
  // While a run goes on, a disk that fails does not end it: each epoch tries again.
  void set_config(std::string config) {
    config_ = std::move(config);
    config_written_ = false;
    try {
      write_config();
    } catch (const IoError&) {
      if (!began_) throw;
    }
  }
  void on_step(const Progress&) override { keep(); }
  void on_nonfinite(const Diagnosis&) override { claim_.keep(); }  // its diagnosis
  void on_epoch(const Progress&, double) override {
    if (!config_written_ && !claim_.is_gone()) set_config(config_);
  }
  void on_finish(const FitResult&) override {
    if (!began_) return;
    const std::filesystem::path folder = save();
    if (!config_written_ && !claim_.is_gone()) write_config();
    if (folder == claim_.folder()) return;
    throw IoError(
        fmt::format("{} was moved or removed, and another folder is there", claim_.folder().string()),
        "the model is in " + folder.string());
  }
  bool saved() const noexcept { return saved_; }
  bool began() const noexcept { return began_; }

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
    const std::filesystem::path file = folder / report::kModelFile;
    const ModelFile model = model_of(net_, dataset_);
    const KnownFolder known(folder);  // whatever a link there leads to is not the run's
    io::write_safetensors(file, model.state, io::metadata_of(model, file), &known);
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
      : settings_(std::move(settings)), keeper_(keeper), quiet_(quiet), timed_(settings_.seconds > 0) {}

  void on_start(const RunInfo& run) override {
    if (!quiet_ && !std::exchange(said_, true)) {  // it goes back to a start (--on-nan)
      say_device(run.device, settings_, false);
      const std::string text = settings::chosen_text(settings_);
      say("settings: " + (text.empty() ? "the chapter's" : text));
      say(fmt::format(
          "run: {} classes, {} training examples, {}{} to test; {} in {}{}", run.classes, run.train_examples,
          run.val_examples > 0 ? fmt::format("{} to validate, ", run.val_examples) : "", run.test_examples,
          counted(run.steps, "step", "steps"), counted(run.epochs, "epoch", "epochs"), time_text(run)));
    }
    if (timed_ && run.bounded) record(run);  // else it was stopped before there was a plan
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
  bool quiet_, timed_, said_ = false;
};

// What stands around the run changes once it has begun, or goes on, and before the run itself does.
class Begun final : public Observer {
 public:
  explicit Begun(std::function<void()> then) : then_(std::move(then)) {}
  void on_start(const RunInfo&) override { then_(); }

 private:
  std::function<void()> then_;
};

bool has_checkpoints(const Training& run) {
  return !run.resumed.empty() && !checkpoints_in(fs::path(run.resumed) / report::kCheckpoints).empty();
}

// A run that was trained and has no checkpoint would be trained anew over its network and its curves.
void check_nothing_lost(const Training& run) {
  const fs::path folder = run.resumed, result = folder / report::kResultFile;
  if (!is_there(folder / report::kModelFile) &&
      !(is_there(result) && report::read_result(result).steps > 0)) {
    return;
  }
  throw ConfigError(
      fmt::format("{} was trained, and its checkpoints are gone", run.resumed),
      fmt::format("resnet train --config {} --out DIR trains it anew; --init {} begins with "
                  "its network",
                  (folder / report::kConfigFile).string(), (folder / report::kModelFile).string()));
}

data::TrainTest open_for(const Training& run) {
  data::DatasetOptions watch = told_scan(run.quiet);
  std::string split = "the folder's own";
  watch.scanned = [&, tell = std::move(watch.scanned)](const data::FolderScan& scan) {
    tell(scan);
    if (!scan.has(data::Part::val) && !scan.has(data::Part::test))
      split = fmt::format("{} of each class to test on, by content and seed {}", run.chosen.val_split,
                          run.chosen.seed);
  };
  data::TrainTest sets = settings::open_data(run.chosen, watch);
  const data::Dataset& training = sets.train;
  const bool resumed = !run.resumed.empty();
  const bool must_be_known = !run.other_data || (resumed && !has_checkpoints(run));  // else those say so
  if ((resumed || must_be_known) && run.earlier.val_sha256.empty() && !run.earlier.test_sha256.empty())
    sets.validation.reset();  // that run has none
  if (must_be_known && !has_known_data(run, sets)) {
    throw FormatError(fmt::format("{} has other examples now than the run of {} had", training.name(),
                                  resumed ? run.resumed : run.config),
                      resumed ? "a run goes on with the data it began with; begin a new one with these"
                      : run.of_seeds
                          ? "seeds' runs have one data set; begin them anew in a folder of their own"
                          : "give --data or --data-dir to train on these");
  }
  if (!run.quiet &&
      data::is_folder_of_pictures(training.name())) {  // a folder too high or too low is seen here
    constexpr std::size_t kMostBytes = 160;
    say("classes: " + shown(joined(training.classes(), ", "), kMostBytes));
    say("split: " + split);
  }
  if (const std::string note = note_of_missing_classes(training); !note.empty()) say("note: " + note);
  if (const std::string note =
          data::cache_note(sets, settings::cache_options(run.chosen), settings::augmentation(run.chosen));
      !note.empty() && !run.quiet) {
    say("note: " + note);
  }
  return sets;
}

nn::Sequential network_for(const Training& run, const data::Dataset& training) {
  const Shape& example = training.example_shape();
  nn::Sequential net =
      settings::make_model(run.chosen, example[0], static_cast<std::int64_t>(training.classes().size()));
  // What cannot run is found before a folder is made.
  check(settings::engine_options(run.chosen));
  train::check_batches(net, training, run.chosen.batch_size, run.chosen.drop_last);
  train::check_parameters(net, settings::engine_options(run.chosen).memory);
  if (has_checkpoints(run)) return net;
  settings::initialise(net, run.chosen, training, [&](const std::string& line) {
    if (!run.quiet) say("init: " + line);
  });
  return net;
}

// Of a run whose device failed: what it trained is lost, its checkpoints are not.
DeviceError with_way_back(const DeviceError& error, const fs::path& run) {
  const std::vector<fs::path> kept = checkpoints_in(run / report::kCheckpoints);
  return DeviceError(error.what(), kept.empty()
                                       ? "there was no checkpoint yet: --checkpoint-every asks for one sooner"
                                       : fmt::format("resnet train --resume {} goes on from {}", run.string(),
                                                     kept.front().filename().string()));
}

// What TensorBoard shows besides the curves; a run that goes on has said it.
TensorboardOptions shown_of(const Training& run, const data::Dataset& training,
                            const settings::Settings& record) {
  if (!run.resumed.empty()) return {};
  constexpr std::int64_t kColumns = 4;
  return {.settings = settings::to_toml(record),
          .pictures = data::contact_sheet(
              training,
              {.columns = kColumns, .augment = settings::augmentation(run.chosen), .seed = run.chosen.seed})};
}

}  // namespace

Trained train_run(const Training& run) {
  std::signal(SIGPIPE, SIG_IGN);  // who read the progress may leave, the run goes on
  const settings::Settings& chosen = run.chosen;
  // What a run began with is not chosen again. Of all else that may not change a checkpoint says so.
  if (!run.resumed.empty() && !has_checkpoints(run)) {
    check_nothing_lost(run);
    check_unchanged(run, options_but_those_that_may_change({"data", "data-dir"}));
  } else if (!run.resumed.empty()) {
    check_unchanged(run,
                    {"init", "dirac", "zero-gamma", "whiten", "seed", "val-split",
                     // and where that would say it in other words than those of flags
                     "sampler", "schedule", "tta", "class-weights", "lr-head", "lr-norm-bias", "lr-parts"});
    check_unchanged(run, settings::augment_options());
  }
  const data::TrainTest sets = open_for(run);
  const auto& [training, test, validation] = sets;
  train::check_data(training, test);
  if (validation) train::check_data(training, *validation);
  check_longer(run, training);
  nn::Sequential net = network_for(run, training);
  FitOptions options = settings::fit_options(chosen, net, training);
  options.validation = validation;

  stop_at_signals();
  RunClaim claim = run.resumed.empty() ? RunClaim(chosen.out, chosen.model) : RunClaim::of_run(run.resumed);
  const fs::path& folder = claim.folder();
  const settings::Settings record = settings::recorded(chosen, sets);
  const auto keeper =
      std::make_shared<ModelKeeper>(claim, !run.resumed.empty(), settings::to_toml(record), net, training);

  options.checkpoints = settings::checkpoint_options(chosen, folder);
  options.checkpoints.resume = !run.resumed.empty();
  options.checkpoints.note = [](const std::string& line) { say("note: " + line); };
  options.stop = &stop_requested();
  options.estimate = !run.quiet;
  options.spent = seconds_since(run.begin);
  if (run.begun) options.observers.push_back(std::make_shared<Begun>(run.begun));
  options.observers.push_back(std::make_shared<Decisions>(record, *keeper, run.quiet));
  if (!run.quiet) {
    options.observers.push_back(curves());
    options.observers.push_back(progress());
  }
  options.observers.push_back(keeper);
  options.observers.push_back(run_folder(folder));
  if (chosen.tensorboard) options.observers.push_back(tensorboard(folder, shown_of(run, training, record)));
  Trained trained;
  try {
    trained.result = fit(net, training, test, options);
  } catch (const NotKept&) {  // `net` is not what was trained
    throw;
  } catch (const DeviceError& error) {  // nor here
    if (!keeper->began()) throw;
    throw with_way_back(error, folder);
  } catch (...) {
    keeper->rescue();
    throw;
  }
  trained.folder = folder;
  trained.saved = keeper->saved();
  trained.resumable = !options.checkpoints.folder.empty();
  if (!run.quiet && chosen.seconds > 0) {
    say(fmt::format("time: {:.1f} s of {:.1f} s, {} steps ({})", seconds_since(run.begin), chosen.seconds,
                    trained.result.steps, trained.result.step_plan));
  }
  if (const std::int64_t best = trained.result.best_epoch; !run.quiet && best > 0) {
    const std::int64_t since = trained.result.epochs - best;
    say(since >= chosen.patience
            ? fmt::format("patience: no better accuracy for {} epochs; the network of epoch {} "
                          "is kept",
                          since, best)
            : fmt::format("patience: the network of epoch {} is kept, the best so far", best));
  }
  if (!run.quiet && stop_signal() == 0) say("run: " + folder.string());
  return trained;
}

}  // namespace resnet::cli
