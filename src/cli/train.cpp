#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <iostream>

#include "base/files.h"
#include "cli/command.h"
#include "report/run_record.h"
#include "resnet/model_file.h"
#include "resnet/report.h"
#include "train/batches.h"

namespace resnet::cli {
namespace {

std::atomic<bool> g_stop{false};
std::atomic<int> g_signal{0};

// The first signal lets the step finish and saves; the second ends the program as usual.
extern "C" void on_signal(int signal) {
  g_stop.store(true);
  constexpr char kText[] = "\nresnet: finishing the step and saving; once more to give up\n";
  if (::write(STDERR_FILENO, kText, sizeof kText - 1) < 0) {
    // nobody is there to read it
  }
  g_signal.store(signal);
  std::signal(signal, SIG_DFL);
}

// Saves the model before the records say that the run is finished, or when the run fails.
class ModelKeeper final : public Observer {
 public:
  ModelKeeper(std::filesystem::path folder, const nn::Module& net, const data::Dataset& dataset)
      : folder_(std::move(folder)), net_(net), dataset_(dataset) {}
  void on_step(const Progress&) override { began_ = true; }
  void on_finish(const FitResult&) override { save(); }

  // What was trained is saved also if the records, the memory or an evaluation fail; a run that never
  // began leaves no folder.
  void rescue() {
    std::error_code ignored;
    if (!began_) {
      for (const char* name : {report::kConfigFile, report::kMetricsFile}) {
        std::filesystem::remove(folder_ / name, ignored);
      }
      std::filesystem::remove(folder_, ignored);
    } else if (!saved_) {
      try {
        save();
      } catch (const std::exception& error) {
        say(std::string("the model could not be saved either: ") + error.what());
      }
    }
  }

 private:
  void save() {
    save_model(folder_ / report::kModelFile, net_, dataset_);
    saved_ = true;
  }

  std::filesystem::path folder_;
  const nn::Module& net_;
  const data::Dataset& dataset_;
  bool began_ = false, saved_ = false;
};

class Train final : public Command {
 public:
  Train()
      : Command("train",
                "Train a network. Without flags: the chapter's ResNet-18 on Fashion-MNIST at 96x96.") {
    accept({"data",     "data-dir", "resize",    "limit-train", "limit-test", "model", "blocks",
            "channels", "block",    "stem",      "batch-size",  "epochs",     "steps", "lr",
            "seed",     "threads",  "precision", "isa",         "device",     "out"});
    add({.name = "config",
         .placeholder = "FILE",
         .help = "settings from a run's config.toml; flags override them",
         .target = &config_});
    add({.name = "json", .help = "print the result as JSON", .target = &json_});
    add({.name = "quiet", .help = "no progress bar, no curves", .target = &quiet_});
  }

  int run() override {
    std::signal(SIGPIPE, SIG_IGN);  // who read the progress may leave, the run goes on
    const settings::Settings chosen = from_flags(base());
    const data::Dataset training = settings::open_data(chosen, data::Split::train);
    const data::Dataset test = settings::open_data(chosen, data::Split::test);
    const Shape& example = training.example_shape();
    nn::Sequential net =
        settings::make_model(chosen, example[0], static_cast<std::int64_t>(training.classes().size()));
    // What cannot run is found before a folder is made.
    check(settings::engine_options(chosen));
    train::check_batches(net, training, chosen.batch_size);

    const std::filesystem::path folder = make_folder(chosen);
    write_file(folder / report::kConfigFile, settings::to_toml(chosen));
    if (!quiet_ && chosen.device == "auto") say("device: cpu (this build has no GPU engine)");

    FitOptions options = settings::fit_options(chosen);
    options.stop = &g_stop;
    if (!quiet_) options.observers = {curves(), progress()};
    const auto keeper = std::make_shared<ModelKeeper>(folder, net, training);
    options.observers.push_back(keeper);
    options.observers.push_back(run_folder(folder));
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {  // what nohup or a shell ignores stays ignored
      if (std::signal(signal, SIG_IGN) != SIG_IGN) std::signal(signal, on_signal);
    }
    FitResult result;
    try {
      result = fit(net, training, test, options);
    } catch (...) {
      keeper->rescue();
      throw;
    }

    if (!quiet_) say("run: " + folder.string());
    if (json_) {
      std::cout << report::to_json(result) << '\n';
    } else {
      std::cout << result;
    }
    std::cout.flush();
    constexpr int kSignalBase = 128;
    return g_signal.load() == 0 ? kDone : kSignalBase + g_signal.load();
  }

 private:
  settings::Settings base() const {
    if (config_.empty()) return {};
    return settings::from_toml(read_text(config_), config_);
  }

  // The folder of the run, made. An existing run is never overwritten.
  static std::filesystem::path make_folder(const settings::Settings& chosen) {
    namespace fs = std::filesystem;
    fs::path folder = chosen.out;
    if (folder.empty()) {
      make_directories("runs");
      std::error_code error;
      for (int n = 1;; ++n) {  // two that start together get a folder each
        folder = fs::path("runs") / fmt::format("{}-{}", chosen.model, n);
        if (fs::create_directory(folder, error)) return folder;
        if (error) {
          throw IoError(fmt::format("cannot make {}: {}", folder.string(), error.message()),
                        "is the folder writable, and the disk not full?");
        }
      }
    }
    for (const char* name : {report::kConfigFile, report::kMetricsFile, report::kCurvesFile,
                             report::kResultFile, report::kModelFile}) {
      std::error_code error;
      if (!fs::exists(folder / name, error)) continue;
      throw IoError(fmt::format("{} already holds a run (its {})", folder.string(), name),
                    "give another --out; nothing of it was touched");
    }
    make_directories(folder);
    return folder;
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
