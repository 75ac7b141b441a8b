#include "train/checkpoint.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/json.h"
#include "base/text.h"
#include "compiler/optimizer.h"
#include "images/libraries.h"
#include "io/model_hash.h"
#include "io/model_metadata.h"
#include "io/safetensors_limits.h"
#include "resnet/nn.h"
#include "resnet/version.h"
#include "train/average.h"
#include "train/batches.h"
#include "train/diagnosis.h"

namespace resnet::train {
namespace {

constexpr const char* kFormat = "1";
constexpr const char* kVersionKey = "resnet.version";
constexpr const char* kLibrariesKey = "resnet.libraries";
constexpr const char* kPlanKey = "resnet.plan_sha256";
constexpr const char* kRunKey = "resnet.run";
constexpr const char* kFactsKey = "resnet.facts";
constexpr const char* kCurve = "curve";  // F64 [points,4]
constexpr std::int64_t kPointNumbers = 4;
using io::kAverage, io::kBest, io::kCheckpointKey, io::kState;

// Every number of a RunState by its name, for writing and reading alike: visit(name, number).
template <class Run, class Visit>
void for_each_number(Run& run, const Visit& visit) {
  visit("epoch", run.progress.epoch);
  visit("batch", run.progress.batch);
  visit("epoch_examples", run.progress.examples);
  visit("epoch_loss", run.epoch_loss);
  visit("epoch_correct", run.epoch_correct);
  visit("loss", run.progress.loss);
  visit("train_acc", run.progress.train_acc);
  visit("seconds", run.seconds);
  visit("examples", run.examples);
  visit("steps", run.steps);
  visit("epochs", run.epochs);
  visit("averages", run.averages);
  visit("measured_epoch", run.measured.epoch);
  visit("measured_batch", run.measured.batch);
  visit("measured_examples", run.measured.examples);
  visit("measured_loss", run.measured.loss);
  visit("measured_train_acc", run.measured.train_acc);
  visit("test_acc", run.test_acc);
  visit("evaluated_at", run.evaluated_at);
  visit("best_acc", run.best_acc);
  visit("best_epoch", run.best_epoch);
  visit("top_acc", run.top_acc);
  visit("top_steps", run.top_steps);
  visit("skipped", run.skipped);
  visit("skipped_in_row", run.skipped_in_row);
  visit("rollbacks", run.rollbacks);
  visit("bad_at", run.bad_at);
  visit("back_to", run.back_to);
  visit("elapsed", run.elapsed);
  visit("planned_steps", run.planned_steps);
}

std::string to_json(const RunState& run) {
  Json json = Json::object();
  for_each_number(run, [&](const char* name, auto value) { json.add(name, value); });
  Json changes = Json::list();
  for (const StepChange& change : run.step_changes) changes.push_back(std::vector{change.from, change.steps});
  json.add("step_changes", std::move(changes));
  return json.dump();
}

[[noreturn]] void refuse(const std::string& what) {
  throw FormatError(what, "it is damaged, or no checkpoint of this program");
}

RunState run_from_json(const std::string& text) {
  const Json json = parse_json(text);
  RunState run;
  constexpr std::array<std::string_view, 5> kLater = {"skipped", "skipped_in_row", "rollbacks", "bad_at",
                                                      "back_to"};
  for_each_number(run, [&]<class T>(const char* name, T& value) {
    const Json* const found = json.find(name);
    if (found == nullptr && std::ranges::count(kLater, name) > 0)
      return;  // an earlier version's run has none
    if constexpr (std::is_integral_v<T>) {
      if (found == nullptr || !found->is_whole())
        refuse(fmt::format("{}: no whole number '{}'", kRunKey, name));
      value = found->whole();
      const bool may_be_none = &value == &run.evaluated_at || &value == &run.top_steps ||
                               &value == &run.bad_at || &value == &run.back_to;
      const std::int64_t most = &value == &run.rollbacks ? kMostRollbacks : kMostCounted;
      if (value < (may_be_none ? -1 : 0) || value > most)
        refuse(fmt::format("{}: '{}' is out of range", kRunKey, name));
    } else {
      if (found == nullptr || !(found->is_float() || found->is_whole()))
        refuse(fmt::format("{}: no number '{}'", kRunKey, name));
      value = found->number();
    }
  });
  const Json* const changes = json.find("step_changes");
  if (changes == nullptr || !changes->is_list()) refuse(fmt::format("{}: no list 'step_changes'", kRunKey));
  for (const Json& change : changes->elements()) {
    if (!change.is_list() || change.size() != 2 || !change[0].is_whole() || !change[1].is_whole())
      refuse(fmt::format("{}: a change of steps that is none", kRunKey));
    run.step_changes.push_back({change[0].whole(), change[1].whole()});
    const auto& [from, steps] = run.step_changes.back();
    if (from < 0 || steps < 0 || from > kMostCounted || steps > kMostCounted)
      refuse(fmt::format("{}: a change of steps that is out of range", kRunKey));
  }
  return run;
}

std::string to_json(const Facts& facts) {
  Json json = Json::object();
  for (const auto& [name, value] : facts) json.add(name, value);
  return json.dump();
}

Facts facts_from_json(const std::string& text) {
  // All that the file's header can hold: the weights of 65,536 classes are 1.6 MB.
  const Json json = parse_json(text, io::kHeaderLimits);
  if (!json.is_object()) refuse(fmt::format("{} is no object", kFactsKey));
  Facts facts;
  for (const auto& [name, value] : json.members()) {
    if (!value.is_text()) refuse(fmt::format("{}: '{}' is not a text", kFactsKey, name));
    facts.emplace_back(name, value.text());
  }
  return facts;
}

Tensor tensor_of(const std::vector<CurvePoint>& curve) {
  Tensor tensor(Shape{static_cast<std::int64_t>(curve.size()), kPointNumbers}, DType::f64);
  const std::span<double> values = tensor.view<double>().span();
  for (std::size_t i = 0; i < curve.size(); ++i) {
    const std::array numbers = {curve[i].x, curve[i].loss, curve[i].train_acc, curve[i].test_acc};
    std::copy(numbers.begin(), numbers.end(),
              values.begin() + static_cast<std::ptrdiff_t>(i * numbers.size()));
  }
  return tensor;
}

std::vector<CurvePoint> curve_of(const Tensor& tensor) {
  if (tensor.dtype() != DType::f64 || tensor.shape().rank() != 2 || tensor.shape()[1] != kPointNumbers)
    refuse("its curve is not F64 [points,4]");
  const auto values = tensor.view<double>();
  std::vector<CurvePoint> curve;
  for (std::int64_t i = 0; i < tensor.shape()[0]; ++i) {
    const double* const point = values.data + i * kPointNumbers;
    curve.push_back({point[0], point[1], point[2], point[3]});
  }
  return curve;
}

const std::string& text_of(const io::Safetensors& file, const char* key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) refuse(fmt::format("no '{}' in its metadata", key));
  return found->second;
}

Checkpoint checkpoint_of(io::Safetensors&& file, const std::string& name) {
  if (const std::string& format = text_of(file, kCheckpointKey); format != kFormat) {
    throw ConfigError(fmt::format("{} is a checkpoint of format {}; this is resnet {}, which reads format {}",
                                  name, shown(format, 20), kVersion, kFormat),
                      "go on with the program that wrote it");
  }
  if (io::checkpoint_hash(file.tensors, file.metadata) != text_of(file, io::kCheckpointHashKey))
    refuse("its contents are not what was written");
  Checkpoint checkpoint;
  checkpoint.run = run_from_json(text_of(file, kRunKey));
  checkpoint.facts = facts_from_json(text_of(file, kFactsKey));
  checkpoint.version = text_of(file, kVersionKey);
  for (const auto& [key, text] :
       {std::pair(kLibrariesKey, &checkpoint.libraries), {kPlanKey, &checkpoint.plan_sha256}}) {
    if (const auto known = file.metadata.find(key); known != file.metadata.end()) *text = known->second;
  }
  bool has_curve = false;
  for (auto& [tensor_name, tensor] : file.tensors) {
    if (tensor_name == kCurve) {
      checkpoint.run.curve = curve_of(tensor);
      has_curve = true;
      continue;
    }
    State* to = nullptr;
    std::string_view prefix;
    for (const auto& [start, state] :
         {std::pair(kState, &checkpoint.state), {kAverage, &checkpoint.average}, {kBest, &checkpoint.best}}) {
      if (!tensor_name.starts_with(start)) continue;
      prefix = start;
      to = state;
    }
    if (to == nullptr) refuse(fmt::format("tensor '{}' belongs to nothing", shown(tensor_name, 100)));
    to->emplace_back(tensor_name.substr(prefix.size()), std::move(tensor));
  }
  if (!has_curve) refuse("it has no curve");
  return checkpoint;
}

}  // namespace

std::string libraries_of(const DeviceInfo& device) {
  return images::libraries() + (device.libraries.empty() ? "" : ", ") + device.libraries;
}

void check_count(const FitOptions& options, const nn::Module& net, const Engine& engine) {
  std::size_t values = 0;
  nn::for_each_parameter(net, [&](const std::string&, const nn::Parameter&) { ++values; });
  const std::size_t copies = (keeps_average(options) ? 1U : 0U) + (options.patience > 0 ? 1U : 0U);
  const std::size_t most = values * (1 + compiler::slots_of(options.optimizer).size() + copies) + 1;
  if (most <= io::kMostTensors) return;  // without a look at the engine's own
  const State all = engine.state(StateScope::all);
  const auto averages = static_cast<std::size_t>(  // one of the copies
      std::ranges::count_if(all, compiler::is_average, &State::value_type::first));
  const std::size_t tensors = all.size() - averages + values * copies + 1;
  if (tensors <= io::kMostTensors) return;
  throw ConfigError(fmt::format("a checkpoint of this run would have {} tensors; at most {} fit a file",
                                tensors, io::kMostTensors),
                    "fewer blocks, or a run without checkpoints (CheckpointOptions::every_seconds 0)");
}

void write_checkpoint(const std::filesystem::path& path, Checkpoint checkpoint, const KnownFolder* folder) {
  io::NamedTensors tensors;
  const auto add = [&](std::string_view prefix, State& state) {
    for (auto& [name, tensor] : state)
      tensors.emplace_back(fmt::format("{}{}", prefix, name), std::move(tensor));
  };
  add(kState, checkpoint.state);
  add(kAverage, checkpoint.average);
  add(kBest, checkpoint.best);
  tensors.emplace_back(kCurve, tensor_of(checkpoint.run.curve));
  io::Metadata metadata = {{kCheckpointKey, kFormat},
                           {kVersionKey, kVersion},
                           {kLibrariesKey, checkpoint.libraries},
                           {kPlanKey, checkpoint.plan_sha256},
                           {kRunKey, to_json(checkpoint.run)},
                           {kFactsKey, to_json(checkpoint.facts)}};
  metadata.merge(checkpoint.network);
  metadata[io::kCheckpointHashKey] = io::checkpoint_hash(tensors, metadata);
  io::write_safetensors(path, tensors, metadata, folder);
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  try {
    return checkpoint_of(io::read_safetensors(path), path.string());
  } catch (const FormatError& error) {
    const std::string file = path.string();
    const std::string what = error.what();
    throw FormatError(what.starts_with(file) ? what : fmt::format("{}: {}", file, what), error.hint());
  }
}

void check_place(const std::filesystem::path& path, const RunState& run, std::int64_t batches,
                 std::int64_t accumulate) {
  const std::int64_t per_epoch = steps_of(batches, accumulate);
  const std::int64_t in_epoch = run.progress.batch == batches ? per_epoch : run.progress.batch / accumulate;
  if (run.steps >= 1 && run.progress.batch <= batches && in_epoch <= run.steps &&
      (run.steps - in_epoch) % per_epoch == 0 && (run.steps - in_epoch) / per_epoch == run.progress.epoch)
    return;
  throw FormatError(
      fmt::format("{}: a place that no such run can be at, batch {} of {} in epoch {} at step {}",
                  path.string(), run.progress.batch, batches, run.progress.epoch, run.steps),
      "it is damaged, or another program wrote it");
}

void check_state(const std::filesystem::path& path, const Checkpoint& checkpoint, const Engine& engine) {
  const auto expect = [&](const State& given, const State& wanted, std::string_view what) {
    bool fits = !wanted.empty() && given.size() == wanted.size();
    for (std::size_t i = 0; fits && i < given.size(); ++i) {
      fits = given[i].first == wanted[i].first && given[i].second.dtype() == wanted[i].second.dtype() &&
             given[i].second.shape() == wanted[i].second.shape();
    }
    if (!fits)
      throw FormatError(fmt::format("{}: its {} is not of this network", path.string(), what),
                        "it is damaged, or another program wrote it");
  };
  State all = engine.state(StateScope::all);
  const State average = take_average(all);
  expect(checkpoint.state, all, "state");
  const State network = engine.state();
  if (!checkpoint.average.empty() || checkpoint.run.averages > 0)
    expect(checkpoint.average, average, "average of weights");
  if (!checkpoint.best.empty() || checkpoint.run.best_epoch > 0)
    expect(checkpoint.best, network, "best network");
}

void check_facts(const std::filesystem::path& path, const Facts& then, const Facts& now) {
  constexpr std::size_t kShort = 60;  // what is longer, as digests are, tells a person nothing
  const auto shows = [](const std::string& value) { return value.size() <= kShort; };
  const auto value_in = [](const Facts& facts, const std::string& name) {
    const auto found = std::ranges::find(facts, name, &Facts::value_type::first);
    return found == facts.end() ? std::string("none") : found->second;
  };
  Facts all = now;  // and what there no longer is
  for (const auto& [name, value] : then) {
    if (std::ranges::find(now, name, &Facts::value_type::first) == now.end()) all.emplace_back(name, "none");
  }
  for (const auto& [name, value] : all) {
    const std::string old = value_in(then, name);
    if (old == value) continue;
    throw ConfigError(
        shows(old) && shows(value)
            ? fmt::format("the run of {} has {} {}, this one {}", path.string(), name, old, value)
            : fmt::format("the run of {} has other {}", path.string(), name),
        "a run goes on as it began, only longer; give it as it was, or begin a new run");
  }
}

}  // namespace resnet::train
