#include "resnet/html_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>
#include <string_view>

#include "base/json.h"
#include "base/places.h"
#include "base/sha256.h"
#include "base/text.h"
#include "data/survey.h"
#include "report/html_assets.h"
#include "report/html_pictures.h"
#include "report/plot.h"
#include "report/seeds.h"
#include "resnet/version.h"
#include "train/calibration.h"

namespace resnet {
namespace {

using report::MatrixCell;

constexpr std::size_t kMostOfMatrix = 20'000;                                                   // of a matrix
constexpr std::size_t kMostOfCell = 12, kMostWorst = 48, kMostSamples = 240, kMostOfClass = 8;  // pictures

// Text that files chose, for a page: no longer than a line, without marks that change how others read.
Json name_text(std::string_view name) {
  constexpr std::size_t kMostBytes = 200;
  return shown(name, kMostBytes);
}

// Digits that nobody can see would be a third of the file.
double rounded(double value, double unit = 1e-5) {
  return std::isfinite(value) ? std::round(value / unit) * unit : value;
}
Json number(double value) {
  if (!std::isfinite(value)) return {};
  const std::string digits = fmt::format("{:.6g}", value);
  double parsed = 0;  // a number below the least one stays 0
  std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
  return parsed;
}

// A data set of the page, which several runs may share.
struct Set {
  const data::TrainTest* data = nullptr;
  std::string key;
  std::map<std::int64_t, std::string> pictures;  // of the test set, by example
  std::vector<std::pair<std::int64_t, std::string>> samples;
};

struct Wanted {
  const data::Dataset* dataset;
  std::int64_t example;
  std::string* picture;
};

class Page {
 public:
  Page(std::span<const ReportedRun> runs, const HtmlReportOptions& options) : runs_(runs), options_(options) {
    for (const ReportedRun& run : runs) {
      set_of_.push_back(place_of(run));
      cells_.push_back(run.evaluation ? report::cells_of(run.evaluation->answers, classes_of(run),
                                                         kMostOfMatrix, kMostOfCell)
                                      : std::vector<MatrixCell>());
      worst_.push_back(run.evaluation ? worst_mistakes(run.evaluation->answers, kMostWorst)
                                      : std::vector<std::int64_t>());
    }
    choose_pictures();
    load_pictures();
  }

  std::string text() const {
    std::string title = options_.title;
    if (title.empty()) {
      std::vector<Series> names;
      for (const ReportedRun& run : runs_)
        names.push_back({.model = run.curves.model, .dataset = run.curves.dataset});
      title = report::title_of(names);
    }
    std::string data = json(title).dump({.replace = true});
    data = escaped(data);
    const std::string policy = fmt::format(
        "default-src 'none'; img-src data:; style-src '{}'; script-src '{}'; base-uri 'none'; form-action "
        "'none'",
        policy_hash(report::kPageStyle), policy_hash(report::kPageScript));
    std::string page;
    for (std::string_view rest = report::kPageHtml; !rest.empty();) {  // @NAME@ stands for a text
      const std::size_t at = std::min(rest.find('@'), rest.size());
      page += rest.substr(0, at);
      if (at == rest.size()) break;
      const std::size_t end = rest.find('@', at + 1);
      const std::string_view name = rest.substr(at + 1, end - at - 1);
      page += name == "POLICY"   ? std::string(policy)
              : name == "STYLE"  ? std::string(report::kPageStyle)
              : name == "SCRIPT" ? std::string(report::kPageScript)
              : name == "DATA"   ? data
              : name == "TITLE"  ? xml_text(title)
                                 : escaped_lines(lines_text());
      rest.remove_prefix(end + 1);
    }
    return page;
  }

 private:
  // JSON that no browser takes for a tag.
  static std::string escaped(std::string_view json) {
    std::string text;
    for (const char& c : json) text += c == '<' ? std::string_view("\\u003c") : std::string_view(&c, 1);
    return text;
  }

  static std::int64_t classes_of(const ReportedRun& run) {
    return static_cast<std::int64_t>(run.data->test.classes().size());
  }

  static std::string lines_of(const FitResult& result) {
    std::ostringstream out;
    out << result;
    return out.str();
  }
  std::string lines_text() const {  // of the chapter
    std::vector<FitResult> results;
    for (const ReportedRun& run : runs_) {
      if (run.result) results.push_back(*run.result);
    }
    if (results.empty()) return "no run has ended yet";
    return runs_.size() == 1 ? lines_of(results.front()) : report::summary_text(results);
  }

  static std::string escaped_lines(std::string_view text) {
    std::string out;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      out += (out.empty() ? "" : "\n") + xml_text(text.substr(0, end));
      text.remove_prefix(std::min(text.size(), end + 1));
    }
    return out;
  }

  std::size_t place_of(const ReportedRun& run) {
    if (!run.data) return kNone;
    std::string key =
        run.data->test.name() + '\n' + run.data->test.content_sha256() + run.data->train.content_sha256();
    for (const std::string& name : run.data->test.classes()) key += name + '\n';
    for (std::size_t k = 0; k < sets_.size(); ++k) {
      if (sets_[k].key == key) return k;
    }
    sets_.push_back({&*run.data, std::move(key), {}, {}});
    return sets_.size() - 1;
  }

  // The worst mistakes first, then the samples, then one of each cell, a second of each, ...
  void choose_pictures() {
    std::int64_t left = options_.pictures;
    const auto take = [&](std::size_t run, std::int64_t example) {
      Set& set = sets_[set_of_[run]];
      if (left < 1) return;
      const auto [at, is_new] = set.pictures.try_emplace(example);
      if (!is_new) return;
      --left;
      wanted_.push_back({&set.data->test, example, &at->second});
    };
    for (std::size_t run = 0; run < runs_.size(); ++run) {
      for (const std::int64_t example : worst_[run]) take(run, example);
    }
    for (Set& set : sets_) {
      const std::size_t most = kMostSamples / sets_.size();
      for (const std::int64_t i : report::samples_of(set.data->train, most, kMostOfClass))
        set.samples.emplace_back(i, "");
      for (auto& [example, picture] : set.samples) wanted_.push_back({&set.data->train, example, &picture});
    }
    for (std::size_t n = 0; n < kMostOfCell && left > 0; ++n) {
      for (std::size_t run = 0; run < runs_.size(); ++run) {
        for (const MatrixCell& cell : cells_[run]) {
          if (n < cell.examples.size()) take(run, cell.examples[n]);
        }
      }
    }
  }

  void load_pictures() {
    std::int64_t done = 0, bytes = 0;
    for (const auto& [dataset, example, picture] : wanted_) {
      if (bytes < options_.picture_bytes) *picture = report::picture_uri(*dataset, example);
      bytes += static_cast<std::int64_t>(picture->size());
      if (options_.seen) options_.seen(++done, std::ssize(wanted_));
    }
  }

  Json json(const std::string& title) const {
    Json runs = Json::list(), sets = Json::list();
    for (std::size_t run = 0; run < runs_.size(); ++run) runs.push_back(json_of_run(run));
    for (const Set& set : sets_) sets.push_back(json_of_set(set));
    Json page =
        Json::object({{"title", name_text(title)}, {"version", kVersion}, {"runs", runs}, {"sets", sets}});
    std::vector<Series> curves;
    for (const ReportedRun& run : runs_) curves.push_back(run.curves);
    page.add("validated", report::are_validated(curves));
    if (runs_.size() > 1) add_band(page, curves);
    return page;
  }

  static void add_band(Json& page, std::span<const Series> runs) {
    const report::Band band = report::band_of(runs);
    page.add("mean", json_of_curves(report::mean_of(runs)));
    page.add("low", json_of_curves(band.low));
    page.add("high", json_of_curves(band.high));
  }

  // Pieces of points, [[x, y], ...], of each curve.
  static Json json_of_curves(const Series& series) {
    Json curves = Json::list();
    for (const report::Curve& curve : report::kCurves) {
      Json pieces = Json::list();
      for (const std::vector<report::XY>& piece : report::pieces(curve, series)) {
        Json points = Json::list();
        for (const report::XY& point : piece)
          points.push_back(std::vector<double>{number(point.x).number(), number(point.y).number()});
        pieces.push_back(std::move(points));
      }
      curves.push_back(std::move(pieces));
    }
    return curves;
  }

  Json json_of_run(std::size_t n) const {
    const ReportedRun& run = runs_[n];
    Json settings = Json::list();
    for (const auto& [name, value] : run.settings)
      settings.push_back(Json::list(std::vector<Json>{name_text(name), name_text(value)}));
    Json object = Json::object({{"name", name_text(run.curves.name)},
                                {"settings", settings},
                                {"epochs", run.curves.epochs},
                                {"curves", json_of_curves(run.curves)}});
    if (run.result) object.add("result", json_of_result(*run.result));
    if (run.data) object.add("set", static_cast<std::int64_t>(set_of_[n]));
    if (run.evaluation) object.add("evaluation", json_of_evaluation(n));
    if (run.flops > 0) object.add("flops", number(run.flops));
    if (run.peak_gflops > 0) object.add("peak", number(run.peak_gflops));
    return object;
  }

  static Json json_of_result(const FitResult& result) {
    return Json::object({{"lines", name_text(lines_of(result).substr(0, lines_of(result).find('\n')))},
                         {"loss", number(result.loss)},
                         {"train_acc", number(result.train_acc)},
                         {"test_acc", number(result.test_acc)},
                         {"val_acc", number(result.val_acc)},
                         {"rate", number(result.examples_per_second)},
                         {"device", name_text(result.device)},
                         {"cpu", name_text(result.cpu_model)},
                         {"seed", std::to_string(result.seed)},
                         {"epochs", result.epochs},
                         {"steps", result.steps},
                         {"seconds", number(result.seconds)},
                         {"best_epoch", result.best_epoch},
                         {"skipped", result.skipped_steps},
                         {"rollbacks", result.rollbacks},
                         {"threads", result.threads},
                         {"isa", name_text(result.isa)},
                         {"weights", name_text(result.weights_sha256)},
                         {"complete", result.complete}});
  }

  Json json_of_evaluation(std::size_t n) const {
    const ReportedRun& run = runs_[n];
    const std::vector<Answer>& answers = run.evaluation->answers;
    const Metrics metrics = metrics_of(answers, classes_of(run), false);
    const auto told = [&](std::int64_t example) {  // example, probability of the answer, of the label
      const Answer& answer = answers[static_cast<std::size_t>(example)];
      return std::vector<double>{static_cast<double>(example),
                                 rounded(static_cast<double>(answer.probability), 1e-4),
                                 rounded(static_cast<double>(answer.label_probability), 1e-4)};
    };
    Json classes = Json::list(), bins = Json::list(), cells = Json::list(), worst = Json::list();
    for (const ClassMetrics& of : metrics.classes)
      classes.push_back(std::vector<std::int64_t>{of.examples, of.answered, of.hits});
    for (const train::CalibrationBin& bin : train::calibration_of(answers))
      bins.push_back(Json::list(std::vector<Json>{
          bin.examples, bin.hits, number(bin.probability_sum / static_cast<double>(bin.examples))}));
    std::int64_t told_mistakes = 0, fewest = 0;
    for (const MatrixCell& cell : cells_[n]) {
      if (cell.label != cell.answer) {
        told_mistakes += cell.count;
        fewest = cell.count;  // they come with the most examples first
      }
      Json examples = Json::list();
      for (const std::int64_t example : cell.examples) {
        if (sets_[set_of_[n]].pictures.contains(example)) examples.push_back(told(example));
      }
      cells.push_back(Json::list(std::vector<Json>{cell.label, cell.answer, cell.count, examples}));
    }
    for (const std::int64_t example : worst_[n]) {
      const Answer& answer = answers[static_cast<std::size_t>(example)];
      worst.push_back(Json::list(std::vector<Json>{answer.label, answer.answer, told(example)}));
    }
    return Json::object({{"examples", metrics.examples},
                         {"accuracy", number(metrics.accuracy)},
                         {"low", number(metrics.accuracy_95.low)},
                         {"high", number(metrics.accuracy_95.high)},
                         {"top5", number(metrics.top5)},
                         {"loss", number(run.evaluation->loss)},
                         {"precision", number(metrics.macro_precision)},
                         {"recall", number(metrics.macro_recall)},
                         {"f1", number(metrics.macro_f1)},
                         {"calibration", number(metrics.calibration_error)},
                         {"classes", classes},
                         {"bins", bins},
                         {"cells", cells},
                         {"untold", told_mistakes < mistakes_of(metrics) ? fewest : 0},
                         {"worst", worst}});
  }

  // Of answers that are a class.
  static std::int64_t mistakes_of(const Metrics& metrics) {
    std::int64_t mistakes = 0;
    for (const ClassMetrics& of : metrics.classes) mistakes += of.answered - of.hits;
    return mistakes;
  }

  static Json json_of_set(const Set& set) {
    const data::Survey found = data::survey(*set.data);
    const data::Dataset &train = set.data->train, &test = set.data->test;
    const auto range = [](const data::Survey::Range& of) {
      return std::vector<std::int64_t>{of.least, of.median, of.most};
    };
    Json classes = Json::list(), pictures = Json::object(), samples = Json::list();
    const Places places(test.classes());
    std::vector<data::Survey::Class> counted(test.classes().size());
    for (const data::Survey::Class& of : found.classes) {
      if (const auto place = places.of(of.name)) counted[*place] = of;
    }
    for (std::size_t k = 0; k < counted.size(); ++k) {
      const data::Survey::Class& counts = counted[k];
      const std::string& name = test.classes()[k];
      classes.push_back(
          Json::list(std::vector<Json>{name_text(name), counts.train, counts.test, counts.validation}));
    }
    for (const auto& [example, uri] : set.pictures) {
      if (!uri.empty())
        pictures.add(std::to_string(example),
                     Json::list(std::vector<Json>{name_text(test.source().name(example)), uri}));
    }
    for (const auto& [example, uri] : set.samples) {
      if (uri.empty()) continue;
      const std::string& name = train.classes()[static_cast<std::size_t>(train.label(example))];
      const auto at = static_cast<std::int64_t>(places.of(name).value_or(counted.size()));
      samples.push_back(Json::list(std::vector<Json>{at, name_text(train.source().name(example)), uri}));
    }
    return Json::object({{"name", name_text(test.name())},
                         {"train", found.train},
                         {"test", found.test},
                         {"validation", found.validation},
                         {"classes", classes},
                         {"height", range(found.height)},
                         {"width", range(found.width)},
                         {"duplicates", found.twice.pictures},
                         {"in_classes", found.twice.in_classes},
                         {"overlaps", found.twice.overlaps},
                         {"val_overlaps", found.twice.val_overlaps},
                         {"pictures", pictures},
                         {"samples", samples}});
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::span<const ReportedRun> runs_;
  const HtmlReportOptions& options_;
  std::vector<Set> sets_;
  std::vector<Wanted> wanted_;       // pictures of the sets, the most important ones first
  std::vector<std::size_t> set_of_;  // of each run
  std::vector<std::vector<MatrixCell>> cells_;
  std::vector<std::vector<std::int64_t>> worst_;
};

}  // namespace

std::string html_report(std::span<const ReportedRun> runs, const HtmlReportOptions& options) {
  if (runs.empty()) throw ConfigError("a page needs a run");
  report::check_reported(runs.size());
  for (const ReportedRun& run : runs) {
    if (run.evaluation && !run.data)
      throw ConfigError(run.curves.name + ": an evaluation needs ReportedRun::data, on which it was made");
  }
  return Page(runs, options).text();
}

}  // namespace resnet
