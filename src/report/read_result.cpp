// result.json, read back.
#include <fmt/core.h>

#include <concepts>
#include <utility>

#include "base/files.h"
#include "base/json.h"
#include "report/run_record.h"
#include "resnet/train.h"

namespace resnet::report {
namespace {

// Takes members of an object by their type; null is a number that was not measured.
class ResultReader {
 public:
  ResultReader(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  void take(const char* key, double& value) const {
    const Json* found = object_.find(key);
    if (found == nullptr) return;
    const bool number = found->is_float() || found->is_whole() || found->is_natural();
    if (!number && found->dump() != "null") refuse(key);
    value = number ? found->number() : kNotMeasured;
  }
  template <std::integral Number>
  void take(const char* key, Number& value) const {
    const Json* found = object_.find(key);
    if (found == nullptr) return;
    if (!found->is_whole() && !found->is_natural()) refuse(key);
    const bool fits =
        found->is_natural() ? std::in_range<Number>(found->natural()) : std::in_range<Number>(found->whole());
    if (!fits) refuse(key);
    value = found->is_natural() ? static_cast<Number>(found->natural()) : static_cast<Number>(found->whole());
  }
  void take(const char* key, bool& value) const {
    const Json* found = object_.find(key);
    if (found == nullptr) return;
    const std::string text = found->dump();
    if (text != "true" && text != "false") refuse(key);
    value = text == "true";
  }
  void take(const char* key, std::string& value) const {
    const Json* found = object_.find(key);
    if (found == nullptr) return;
    if (!found->is_text()) refuse(key);
    value = found->text();
  }

 private:
  [[noreturn]] void refuse(const char* key) const {
    throw FormatError(fmt::format("{}: '{}' is not what a result has there", path_, key),
                      "the file was not written by this program");
  }

  const Json& object_;
  std::string path_;
};

}  // namespace

FitResult read_result(const std::filesystem::path& path) {
  Json object;
  try {
    constexpr std::size_t kMostPlan = std::size_t{1} << 20U;  // bytes: a long run may change its steps often
    object = parse_json(read_text(path), {.text = kMostPlan});
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", path.string(), error.what()), "is it the result.json of a run?");
  }
  if (!object.is_object()) {
    throw FormatError(fmt::format("{}: it is no JSON object", path.string()),
                      "is it the result.json of a run?");
  }
  const ResultReader reader(object, path.string());
  FitResult result;
  reader.take("loss", result.loss);
  reader.take("train_acc", result.train_acc);
  reader.take("test_acc", result.test_acc);
  reader.take("val_acc", result.val_acc);
  result.validated = object.find("val_acc") != nullptr;
  reader.take("examples_per_second", result.examples_per_second);
  reader.take("device", result.device);
  reader.take("device_name", result.device_name);
  reader.take("cpu_model", result.cpu_model);
  reader.take("seed", result.seed);
  reader.take("epochs", result.epochs);
  reader.take("steps", result.steps);
  reader.take("step_plan", result.step_plan);
  reader.take("skipped_steps", result.skipped_steps);
  reader.take("rollbacks", result.rollbacks);
  reader.take("seconds", result.seconds);
  reader.take("best_epoch", result.best_epoch);
  reader.take("optimizer", result.optimizer);
  reader.take("threads", result.threads);
  reader.take("threads_from", result.threads_from);
  reader.take("isa", result.isa);
  reader.take("libraries", result.libraries);
  reader.take("plan_sha256", result.plan_sha256);
  reader.take("weights_sha256", result.weights_sha256);
  reader.take("complete", result.complete);
  data::Dataset::Source::Counts counts;
  reader.take("bad_files", counts.bad_files);
  reader.take("duplicates", counts.duplicates);
  reader.take("overlaps", counts.overlaps);
  reader.take("val_overlaps", counts.val_overlaps);
  if (object.find("duplicates") != nullptr) result.data = counts;
  return result;
}

}  // namespace resnet::report
