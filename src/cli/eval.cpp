#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/evaluation.h"
#include "report/run_record.h"
#include "resnet/evaluation_files.h"
#include "resnet/folder.h"
#include "resnet/model_file.h"
#include "resnet/report.h"
#include "settings/values.h"

namespace resnet::cli {
namespace {

class Eval final : public Command {
 public:
  Eval() : Command("eval", "Accuracy of a trained network on a test set.") {
    add_run(run_, "runs/d2l_resnet18-1");
    accept({"data", "data-dir", "val-split", "seed", "on-bad-file", "limit-test", "batch-size", "tta",
            "loader-threads", "device", "threads", "precision", "isa", "memory"});
    default_is("the run's", {"data", "val-split", "seed", "on-bad-file", "limit-test", "batch-size", "tta",
                             "precision", "isa"});
    argument("seed").help = "of the split of a folder without val/ and test/";
    help_of_answers();
    add({.name = "json",
         .help = "print the figures as JSON, the confusion matrix of up to 1000 classes among them",
         .target = &json_});
    add({.name = "confusion",
         .placeholder = "FILE",
         .help = "write the confusion matrix, as CSV or, to a name that ends in .svg, as a picture",
         .target = &confusion_});
    add({.name = "mistakes",
         .placeholder = "FILE",
         .help =
             "write an SVG sheet of the 64 worst mistakes: pictures, what they are, what they were taken for",
         .target = &mistakes_});
    add({.name = "save-predictions",
         .placeholder = "FILE",
         .help = "write the answer for every example as CSV",
         .target = &predictions_});
  }

  int run() override {
    const settings::Settings run = settings_of_run(run_);
    const settings::Settings chosen = from_flags(settings_to_evaluate(run));
    auto [file, read] = model_of_run(run_);
    const std::vector<Output> outputs = {
        {"--confusion", confusion_}, {"--mistakes", mistakes_}, {"--save-predictions", predictions_}};
    std::vector<std::filesystem::path> inputs = report::files_of(run_);
    inputs.push_back(file);
    check_outputs(outputs, inputs);
    Model model(std::move(read), settings::engine_options(chosen));
    say_other_device(model.engine().device(), chosen, json_);
    bool split = false;  // by us
    data::DatasetOptions watch = told_scan(json_);
    watch.scanned = [&, tell = watch.scanned](const data::FolderScan& scan) {
      split = !scan.has(data::Part::val) && !scan.has(data::Part::test);
      tell(scan);
    };
    const data::Dataset found = settings::open_data(
        chosen, data::Split::test, keeping(std::move(watch), outputs), model.preprocessing());
    const data::Dataset test = with_classes_of(model, found);
    const auto given = [&](const char* name) { return argument(name).given; };
    const bool same = settings::is_data_of(run, data::Split::test, found);
    if (!same) {
      const std::string what =
          fmt::format("{} has other test examples than the run in {} had", test.name(), run_);
      if (!given("data") && !given("data-dir") && !given("val-split") && !given("seed"))
        throw FormatError(what, "give --data or --data-dir to evaluate on these");
      say("note: " + what);
    }
    if (split && (!same || run.test_sha256.empty()) && !given("seed") && !given("val-split")) {
      say(fmt::format(
          "note: {} is split by --seed {} and --val-split {}; {}; --val-split 1 tests on all of it",
          found.name(), chosen.seed, settings::shortest(chosen.val_split),
          same ? "if its training had others, some of its pictures are tested on"
               : "that share alone is tested on"));
    }
    const Evaluation figures = evaluate_model(model, file.string(), test, chosen);
    const std::size_t classes = test.classes().size();
    const bool matrix = !confusion_.empty() || classes <= (json_ ? kMostListed : kMostColumns);
    const Metrics metrics = metrics_of(figures.answers, static_cast<std::int64_t>(classes), matrix);
    if (json_) {
      print_json(figures, metrics, test);
    } else {
      print_table(figures, metrics, test);
    }
    write_files(figures, metrics, test);  // what was measured is printed also where a file cannot be written
    return kDone;
  }

 private:
  static constexpr std::size_t kMostColumns = 20;   // of a confusion matrix here; wider ones are for files
  static constexpr std::size_t kMostListed = 1000;  // of one in JSON

  void write_files(const Evaluation& figures, const Metrics& metrics, const data::Dataset& test) const {
    const std::vector<std::string>& names = test.classes();
    const std::string of = fmt::format("{} on {}", run_, test.name());
    if (!confusion_.empty()) {
      write_file(confusion_, confusion_.ends_with(".svg") ? confusion_svg(metrics, names, of)
                                                          : confusion_csv(metrics, names));
    }
    if (!mistakes_.empty()) {
      constexpr std::int64_t kMost = 64;
      const std::vector<std::int64_t> worst = worst_mistakes(figures.answers, kMost);
      write_file(mistakes_, mistakes_svg(test, figures.answers, worst, "Worst mistakes: " + of));
    }
    if (!predictions_.empty()) {
      std::vector<std::string> files;  // none where examples have no names
      for (std::int64_t i = 0; i < test.size() && !test.source().name(i).empty(); ++i)
        files.push_back(test.source().name(i));
      write_file(predictions_, predictions_csv(figures.answers, names, files));
    }
  }

  static void print_json(const Evaluation& figures, const Metrics& metrics, const data::Dataset& test) {
    Json classes = Json::list();
    for (std::size_t k = 0; k < test.classes().size(); ++k) {
      const ClassMetrics& of = metrics.classes[k];
      classes.push_back(Json::object({{"name", test.classes()[k]},
                                      {"examples", of.examples},
                                      {"precision", of.precision},
                                      {"recall", of.recall},
                                      {"f1", of.f1}}));
    }
    const Interval& range = metrics.accuracy_95;
    const Json object = Json::object(
        {{"test_acc", figures.test_acc},
         {"test_acc_95", std::vector<double>{range.low, range.high}},
         {"top5_acc", metrics.top5},
         {"loss", figures.loss},
         {"calibration_error", metrics.calibration_error},
         {"macro_precision", metrics.macro_precision},
         {"macro_recall", metrics.macro_recall},
         {"macro_f1", metrics.macro_f1},
         {"examples", figures.examples},
         {"data", test.name()},
         {"classes", classes},
         {"confusion", test.classes().size() <= kMostListed ? Json(metrics.confusion) : Json()}});
    // The data set's name has a path, which need not be UTF-8.
    std::cout << object.dump({.replace = true}) << '\n';
  }

  static void print_table(const Evaluation& figures, const Metrics& metrics, const data::Dataset& test) {
    const std::size_t count = test.classes().size();
    fmt::print("test acc {:.4f}, loss {:.4f}, {} examples of {}\n", figures.test_acc, figures.loss,
               figures.examples, printable(test.name()));
    fmt::print("accuracy on all such pictures {:.4f} to {:.4f} (95 %); ", metrics.accuracy_95.low,
               metrics.accuracy_95.high);
    if (!std::isnan(metrics.top5)) fmt::print("top-5 acc {:.4f}, ", metrics.top5);
    fmt::print("calibration error {:.4f}\n\n", metrics.calibration_error);
    std::size_t width = 16;
    for (std::size_t k = 0; k < count; ++k) width = std::max(width, name_of(test, k).size());
    constexpr const char* kLine = "{:<{}} {:>8} {:>9} {:>9} {:>9}\n";
    fmt::print(kLine, "class", width, "examples", "precision", "recall", "F1");
    for (std::size_t k = 0; k < count; ++k) {
      const ClassMetrics& of = metrics.classes[k];
      fmt::print(kLine, name_of(test, k), width, of.examples, shown(of.precision), shown(of.recall),
                 shown(of.f1));
    }
    fmt::print(kLine, "mean", width, figures.examples, shown(metrics.macro_precision),
               shown(metrics.macro_recall), shown(metrics.macro_f1));
    if (count > kMostColumns) return;
    fmt::print("\nconfusion, a row for each true class, a column for each answer\n{:<{}}", "", width + 3);
    for (std::size_t k = 0; k < count; ++k) fmt::print(" {:>5}", k);
    fmt::print("\n");
    for (std::size_t k = 0; k < count; ++k) {
      fmt::print("{:>2} {:<{}}", k, name_of(test, k), width);
      for (std::size_t j = 0; j < count; ++j) fmt::print(" {:>5}", metrics.confusion[k * count + j]);
      fmt::print("\n");
    }
  }

  // Of a class, which a file chose.
  static std::string name_of(const data::Dataset& test, std::size_t k) {
    constexpr std::size_t kMostBytes = 60;
    return resnet::shown(test.classes()[k], kMostBytes);
  }

  static std::string shown(double figure) { return std::isnan(figure) ? "-" : fmt::format("{:.4f}", figure); }

  std::string run_, confusion_, mistakes_, predictions_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_eval() {
  return std::make_unique<Eval>();
}

}  // namespace resnet::cli
