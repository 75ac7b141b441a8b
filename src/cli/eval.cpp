#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "report/run_record.h"
#include "resnet/model_file.h"
#include "resnet/report.h"

namespace resnet::cli {
namespace {

class Eval final : public Command {
 public:
  Eval() : Command("eval", "Accuracy of a trained network on a test set.") {
    add({.name = "RUN",
         .help = "a run's folder or a .safetensors file",
         .target = &run_,
         .positional = true,
         .example = "runs/d2l_resnet18-1"});
    accept({"data", "data-dir", "limit-test", "batch-size", "threads", "precision", "isa"});
    add({.name = "json", .help = "print the figures as JSON", .target = &json_});
  }

  int run() override {
    const settings::Settings run = settings_of_run();
    settings::Settings chosen = from_flags(base(run));
    const std::filesystem::path file = model_path(run_);
    Model model = load_model(file, settings::engine_options(chosen));
    chosen.resize = model.preprocessing().resize;
    const data::Dataset test = settings::open_data(chosen, data::Split::test);
    const std::vector<std::string>&ours = model.classes(), &theirs = test.classes();
    const std::string hint = "give the data set that it was trained for with --data";
    if (ours.size() != theirs.size()) {
      throw FormatError(
          fmt::format("the network knows {} classes, {} has {}", ours.size(), test.name(), theirs.size()),
          hint);
    }
    if (const auto [one, other] = std::mismatch(ours.begin(), ours.end(), theirs.begin());
        one != ours.end()) {
      throw FormatError(
          fmt::format("the network knows a class '{}' where {} has '{}'", *one, test.name(), *other), hint);
    }
    if (!settings::is_data_of(run, data::Split::test, test)) {
      const std::string what =
          fmt::format("{} has other test examples than the run in {} had", test.name(), run_);
      if (!argument("data").given && !argument("data-dir").given) {
        throw FormatError(what, "give --data or --data-dir to evaluate on these");
      }
      say("note: " + what);
    }
    const Evaluation figures = figures_of(model, file.string(), test, chosen.batch_size);
    if (json_) {
      print_json(figures, test);
    } else {
      print_table(figures, test);
    }
    return kDone;
  }

 private:
  // What the run was trained with, where RUN is its folder.
  settings::Settings settings_of_run() const {
    const std::filesystem::path config = std::filesystem::path(run_) / report::kConfigFile;
    std::error_code error;
    if (!std::filesystem::exists(config, error)) return {};
    return settings::from_toml(read_text(config), config.string());
  }

  // What an evaluation takes from there: the data set and the batch size.
  static settings::Settings base(const settings::Settings& run) {
    settings::Settings base;
    base.data = run.data;
    base.data_dir = run.data_dir;
    base.batch_size = run.batch_size;
    return base;
  }

  // The network comes from a file: what does not fit in it is the file's error and no flag's.
  static Evaluation figures_of(Model& model, const std::string& file, const data::Dataset& test,
                               std::int64_t batch_size) {
    Evaluation figures;
    try {
      figures = evaluate(model.engine(), test, batch_size, nullptr, test_progress(test.size()));
    } catch (const ShapeError& error) {
      throw FormatError(fmt::format("{}: {}", file, error.what()), error.hint());
    }
    if (!figures.finite) {
      throw FormatError(fmt::format("{}: the network's output is not finite", file),
                        "its training may have diverged");
    }
    return figures;
  }

  static void print_json(const Evaluation& figures, const data::Dataset& test) {
    Json classes = Json::list();
    for (std::size_t k = 0; k < test.classes().size(); ++k) {
      const ClassFigures of = class_figures(figures, test.classes().size(), k);
      classes.push_back(Json::object({{"name", test.classes()[k]},
                                      {"examples", of.examples},
                                      {"precision", of.precision},
                                      {"recall", of.recall}}));
    }
    const Json object = Json::object({{"test_acc", figures.test_acc},
                                      {"loss", figures.loss},
                                      {"examples", figures.examples},
                                      {"data", test.name()},
                                      {"classes", classes},
                                      {"confusion", figures.confusion}});
    // The data set's name has a path, which need not be UTF-8.
    std::cout << object.dump({.replace = true}) << '\n';
  }

  static void print_table(const Evaluation& figures, const data::Dataset& test) {
    const std::size_t count = test.classes().size();
    fmt::print("test acc {:.4f}, loss {:.4f}, {} examples of {}\n\n", figures.test_acc, figures.loss,
               figures.examples, printable(test.name()));
    fmt::print("{:<16} {:>8} {:>9} {:>9}\n", "class", "examples", "precision", "recall");
    for (std::size_t k = 0; k < count; ++k) {
      const ClassFigures of = class_figures(figures, count, k);
      fmt::print("{:<16} {:>8} {:>9} {:>9}\n", name_of(test, k), of.examples, shown(of.precision),
                 shown(of.recall));
    }
    constexpr std::size_t kMostColumns = 20;  // wider matrices are for --json
    if (count > kMostColumns) return;
    fmt::print("\nconfusion, a row for each true class, a column for each answer\n{:<16}", "");
    for (std::size_t k = 0; k < count; ++k) fmt::print(" {:>5}", k);
    fmt::print("\n");
    for (std::size_t k = 0; k < count; ++k) {
      fmt::print("{:>2} {:<13}", k, name_of(test, k));
      for (std::size_t j = 0; j < count; ++j) fmt::print(" {:>5}", figures.confusion[k * count + j]);
      fmt::print("\n");
    }
  }

  struct ClassFigures {
    std::int64_t examples = 0;
    double precision = kNotMeasured;  // of a class that was never answered there is none
    double recall = kNotMeasured;     // nor of one without examples
  };

  // Of a class, which a file chose.
  static std::string name_of(const data::Dataset& test, std::size_t k) {
    constexpr std::size_t kMostBytes = 60;
    return resnet::shown(test.classes()[k], kMostBytes);
  }

  static std::string shown(double figure) { return std::isnan(figure) ? "-" : fmt::format("{:.4f}", figure); }

  static ClassFigures class_figures(const Evaluation& figures, std::size_t count, std::size_t k) {
    std::int64_t truly = 0;
    std::int64_t answered = 0;
    for (std::size_t j = 0; j < count; ++j) {
      truly += figures.confusion[k * count + j];
      answered += figures.confusion[j * count + k];
    }
    const auto hits = static_cast<double>(figures.confusion[k * count + k]);
    return {truly, answered == 0 ? kNotMeasured : hits / static_cast<double>(answered),
            truly == 0 ? kNotMeasured : hits / static_cast<double>(truly)};
  }

  std::string run_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_eval() {
  return std::make_unique<Eval>();
}

}  // namespace resnet::cli
