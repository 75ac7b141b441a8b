#include "cli/evaluation.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/files.h"
#include "base/places.h"
#include "report/run_record.h"
#include "resnet/report.h"

namespace resnet::cli {

settings::Settings settings_of_run(const std::string& run) {
  report::check_files(run);
  const std::filesystem::path config = std::filesystem::path(run) / report::kConfigFile;
  if (!path_exists(config)) return {};
  return settings::from_toml(read_text(config), config.string());
}

settings::Settings settings_to_evaluate(settings::Settings run) {
  run.device = "auto";
  run.threads = 0;
  run.loader_threads = 0;
  run.memory.clear();
  return run;
}

data::Dataset with_classes_of(const Model& model, const data::Dataset& test) {
  const std::vector<std::string>&ours = model.classes(), &theirs = test.classes();
  if (ours == theirs) return test;
  const std::string hint = "give the data set that it was trained for with --data";
  if (ours.size() < theirs.size()) {
    throw FormatError(
        fmt::format("the network knows {} classes, {} has {}", ours.size(), test.name(), theirs.size()),
        hint);
  }
  const Places known(ours);
  for (std::size_t k = 0; k < theirs.size(); ++k) {
    if (known.of(theirs[k])) continue;
    throw FormatError(
        fmt::format("the network knows a class '{}' where {} has '{}'", ours[k], test.name(), theirs[k]),
        hint);
  }
  return test.with_classes(ours);
}

Evaluation evaluate_model(Model& model, const std::string& file, const data::Dataset& test,
                          const settings::Settings& settings) {
  Evaluation figures;
  try {
    figures = evaluate(model.engine(), test,
                       {.batch_size = settings.batch_size,
                        .views = settings.views,
                        .loader_threads = settings.loader_threads,
                        .seen = test_progress(test.size())});
  } catch (const ShapeError& error) {
    throw FormatError(fmt::format("{}: {}", file, error.what()), error.hint());
  }
  if (!figures.finite) {
    throw FormatError(fmt::format("{}: the network's output is not finite", file),
                      "its training may have diverged");
  }
  return figures;
}

}  // namespace resnet::cli
