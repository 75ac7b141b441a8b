// `resnet report`: runs as one page.
#include "resnet/report.h"

#include <fmt/core.h>

#include <memory>
#include <optional>
#include <utility>

#include "base/files.h"
#include "base/machine.h"
#include "base/text.h"
#include "bench/bench.h"
#include "cli/command.h"
#include "cli/evaluation.h"
#include "report/html_pictures.h"
#include "report/run_record.h"
#include "report/seeds.h"
#include "resnet/html_report.h"
#include "resnet/model_file.h"
#include "settings/options.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

class Report final : public Command {
 public:
  Report()
      : Command("report",
                "One HTML page of a run or several: curves, settings, data, mistakes, calibration.") {
    add_runs(runs_);
    add({.name = "out",
         .placeholder = "FILE",
         .help = "the page; default RUN/report.html, of several runs ./report.html",
         .target = &out_});
    add({.name = "peak",
         .help = "measure what this machine can do at most, beside the speed of the runs; takes a second",
         .target = &peak_});
    accept({"data", "data-dir", "on-bad-file", "batch-size", "loader-threads", "device", "threads",
            "precision", "isa", "memory"});
    default_is("the run's", {"data", "on-bad-file", "batch-size", "precision", "isa"});
    argument("data").help =
        "the data set that the runs had, where it is elsewhere now: " + argument("data").help;
  }

  int run() override {
    std::vector<ReportedRun> reported;
    std::vector<fs::path> folders, inputs;
    for (const std::string& given : runs_) {
      for (const fs::path& file : report::files_of(given)) inputs.push_back(file);
      for (const fs::path& folder : report::runs_in(given)) folders.push_back(folder);
    }
    report::check_reported(folders.size());
    for (const fs::path& folder : folders) {
      for (const fs::path& file : report::files_of(folder)) inputs.push_back(file);
    }
    check_outputs({{"--out", out_}}, inputs);
    const fs::path out = !out_.empty()       ? fs::path(out_)
                         : runs_.size() == 1 ? fs::path(runs_.front()) / "report.html"
                                             : fs::path("report.html");
    for (const fs::path& folder : folders) {
      ReportedRun& run = reported.emplace_back(load_run(folder));
      if (runs_.size() == 1 && folder != runs_.front()) run.curves.name = folder.filename().string();
      add_answers(folder, run, out);
    }
    std::shared_ptr<std::function<void(std::int64_t)>> bar;
    const std::string page =
        html_report(reported, {.seen = [&](std::int64_t done, std::int64_t all) {
                      if (!bar)
                        bar = std::make_shared<std::function<void(std::int64_t)>>(picture_progress(all));
                      (*bar)(done);
                    }});
    bar.reset();
    if (out_.empty() && runs_.size() == 1) {
      const KnownFolder folder(runs_.front());
      write_file(out, page, &folder);
    } else {
      write_file(out, page);
    }
    fmt::print("{}\n", printable(out.string()));
    return kDone;
  }

 private:
  bool other_data() const { return argument("data").given || argument("data-dir").given; }

  // What its network says of its test set, and its pictures. Without a model, or where the data is no longer
  // what it was, the page goes without.
  void add_answers(const fs::path& folder, ReportedRun& run, const fs::path& out) {
    const std::string without = "; the page of it has no answers and no pictures";
    const bool has_config = path_exists(folder / report::kConfigFile);
    std::optional<RunModel> found = has_config ? model_in(folder) : std::nullopt;
    if (!found) {
      say(fmt::format("note: {} has no {} yet{}", folder.string(),
                      has_config ? report::kModelFile : report::kConfigFile, without));
      return;
    }
    const settings::Settings trained = settings_of_run(folder.string());
    const settings::Settings chosen = from_flags(settings_to_evaluate(trained));
    std::optional<Model> model;
    try {
      model.emplace(std::move(found->model), settings::engine_options(chosen));
      say_other_device(model->engine().device(), chosen, false);
    } catch (const ConfigError& error) {  // this machine may not have what the run had
      if (argument("precision").given || argument("isa").given || argument("device").given) throw;
      say(fmt::format("note: {}: {}; --precision f32 may do{}", folder.string(),
                      settings::in_flags(error.what()), without));
      return;
    }
    std::optional<data::TrainTest> sets;
    const auto has_no_data = [&](const Error& error) {
      say(fmt::format("note: {}: {}; --data says where it is now{}", folder.string(), error.what(), without));
    };
    try {
      sets = settings::open_data(chosen, keeping(told_scan(false), {{"--out", out.string()}}));
    } catch (const IoError& error) {
      if (other_data()) throw;
      return has_no_data(error);
    } catch (const FormatError& error) {
      if (other_data()) throw;
      return has_no_data(error);
    }
    if (!settings::is_data_of(trained, data::Split::test, sets->test)) {
      if (other_data())
        throw FormatError(fmt::format("{} has other test examples than the run of {} had", sets->test.name(),
                                      folder.string()),
                          "give the data set that the run had, or leave --data out");
      say(fmt::format(
          "note: {} has other test examples than the run of {} had; --data says where they are now{}",
          sets->test.name(), folder.string(), without));
      return;
    }
    sets = shared(std::move(*sets));
    data::TrainTest known{sets->train, with_classes_of(*model, sets->test), sets->validation};
    try {
      run.evaluation = evaluate_model(*model, found->file.string(), known.test, chosen);
    } catch (const FormatError& error) {  // of a network that diverged there are curves
      if (other_data()) throw;
      say(fmt::format("note: {}{}", error.what(), without));
      return;
    }
    run.data = std::move(known);
    const Shape& example = sets->train.example_shape();
    const nn::Sequential net =
        settings::make_model(trained, example[0], static_cast<std::int64_t>(model->classes().size()));
    constexpr std::int64_t kBatch = 2;  // a batch norm needs two
    run.flops =
        bench::step_flops(net, {kBatch, example[0], example[1], example[2]}, bench::Work::train) / kBatch;
    if (!peak_ || !run.result) return;
    // Beside the speed of the run, so of its processor and in its precision.
    const FitResult& result = *run.result;
    const bool has_precision = trained.precision != Precision::bf16 || best_isa() == Isa::avx512_bf16;
    if (result.device == "cpu" && result.cpu_model == cpu_model() && has_precision) {
      run.peak_gflops = bench::peak_gflops(result.threads, result.isa, trained.precision);
    } else {
      say(fmt::format("note: {} ran on {}, whose peak is not measured here", folder.string(),
                      result.device == "cpu" ? result.cpu_model : result.device_name));
    }
  }

  // The same data is in memory once.
  data::TrainTest shared(data::TrainTest found) {
    const auto are_equal = [](const data::Dataset& a, const data::Dataset& b) {
      return a.name() == b.name() && a.classes() == b.classes() && a.content_sha256() == b.content_sha256();
    };
    for (const data::TrainTest& known : sets_) {
      if (are_equal(known.train, found.train) && are_equal(known.test, found.test)) return known;
    }
    return sets_.emplace_back(std::move(found));
  }

  std::vector<std::string> runs_;
  std::vector<data::TrainTest> sets_;
  std::string out_;
  bool peak_ = false;
};

}  // namespace

std::unique_ptr<Command> make_report() {
  return std::make_unique<Report>();
}

}  // namespace resnet::cli
