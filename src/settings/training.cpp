// What the settings of training say to the library.
#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/nearest.h"
#include "io/model_hash.h"
#include "io/model_metadata.h"
#include "io/state_names.h"
#include "resnet/init.h"
#include "resnet/weights.h"
#include "settings/option_table.h"
#include "train/batches.h"

namespace resnet::settings {
namespace {

using io::belongs_to;

// Where weights were trained on pictures normalised otherwise than `has`, as far as that is known; else "".
std::string note_of_normalization(const Weights& weights, const data::Normalization& has) {
  data::Normalization wants;
  std::string whose = "its weights were";
  if (const auto own = weights.metadata.find(io::kPreprocessingKey); own != weights.metadata.end()) {
    try {
      wants = data::preprocessing_from_json(own->second).normalization;
    } catch (const FormatError&) {
      return "";
    }
  } else {
    const Recognition found = recognise(weights);
    if (!found.known()) return "";
    wants = family_preprocessing(found).normalization;
    whose = "weights of this family are";  // what it publishes
  }
  if (wants == has) return "";
  return whose + " trained on pictures with --normalize " + to_text(wants) + ", these have " + to_text(has);
}

// A part of the network that a flag names.
struct NamedPart {
  std::string name;
  const char* flag;
  double lr_factor = 1;
  bool frozen = false, used = false;
};

std::vector<NamedPart> named_parts(const Settings& settings, const nn::Module& net) {
  std::vector<NamedPart> parts;
  if (!settings.freeze.empty()) {
    for (std::string& name : split_at_commas(settings.freeze))
      parts.push_back({.name = std::move(name), .flag = "--freeze", .frozen = true});
  }
  for (auto& [name, factor] : parse_factors("lr-parts", settings.lr_parts))
    parts.push_back({.name = std::move(name), .flag = "--lr-parts", .lr_factor = factor});
  if (settings.whiten) parts.push_back({.name = stem_of(net), .flag = "--whiten", .frozen = true});
  return parts;
}

// Every parameter that differs from the others has a group of its own.
std::vector<ParameterGroup> groups_of(const Settings& settings, const nn::Module& net) {
  std::vector<NamedPart> parts = named_parts(settings, net);
  const std::string head = head_of(net);
  std::vector<ParameterGroup> groups;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    using Kind = nn::ParameterKind;
    if (parameter.kind == Kind::running_mean || parameter.kind == Kind::running_var ||
        parameter.kind == Kind::batches_tracked) {
      return;
    }
    ParameterGroup group{.names = name};
    for (NamedPart& part : parts) {
      if (!belongs_to(name, part.name)) continue;
      group.frozen |= part.frozen;
      group.lr_factor *= part.lr_factor;
      part.used = true;
    }
    if (belongs_to(name, head)) group.lr_factor *= settings.lr_head;
    if (parameter.kind == Kind::norm_bias) group.lr_factor *= settings.lr_norm_bias;
    if (group.frozen || group.lr_factor != 1) groups.push_back(std::move(group));
  });
  for (const NamedPart& part : parts) {
    if (part.used) continue;
    std::vector<std::string> names;
    for (const nn::Module::Child& child : net.children()) names.push_back(child.name);
    const std::string near = nearest(part.name, names);
    throw ConfigError(fmt::format("{}: the network has no part '{}'", part.flag, part.name),
                      near.empty() ? "resnet summary --depth layer lists them, with the network's flags"
                                   : "did you mean '" + near + "'?");
  }
  return groups;
}

OptimizerOptions optimizer_of(const Settings& settings, const nn::Module& net) {
  OptimizerOptions options;
  if (settings.optimizer == "adamw") {
    AdamWOptions adamw{.beta1 = settings.beta1, .beta2 = settings.beta2};
    adamw.weight_decay = settings.weight_decay.value_or(adamw.weight_decay);
    options.method = adamw;
  } else {
    options.method = SgdOptions{.momentum = settings.momentum,
                                .nesterov = settings.nesterov,
                                .weight_decay = settings.weight_decay.value_or(0)};
  }
  options.decay_norms_and_biases = settings.decay_all;
  options.groups = groups_of(settings, net);
  return options;
}

// n / (k * count), k classes with examples; 1 for one without.
std::vector<double> balancing_weights(const data::Dataset& train) {
  std::vector<std::int64_t> counts(train.classes().size());
  for (std::int64_t i = 0; i < train.size(); ++i) ++counts.at(static_cast<std::size_t>(train.label(i)));
  const auto present =
      static_cast<double>(counts.size()) - static_cast<double>(std::ranges::count(counts, 0));
  std::vector<double> weights;
  for (const std::int64_t count : counts)
    weights.push_back(
        count == 0 ? 1 : static_cast<double>(train.size()) / (present * static_cast<double>(count)));
  return weights;
}

// What decides which batches a run has.
FitOptions batch_options(const Settings& settings) {
  FitOptions result;
  result.batch_size = settings.batch_size;
  result.seed = settings.seed;
  result.drop_last = settings.drop_last;
  result.augment = augmentation(settings);
  result.loader_threads = settings.loader_threads;
  result.engine = engine_options(settings);
  result.balanced = settings.sampler == "balanced";
  return result;
}

}  // namespace

std::string init_sha256(const Settings& settings) {
  return io::weights_sha256(read_weights(settings.init).tensors);
}

void initialise(nn::Module& net, const Settings& settings, const data::Dataset& train, const Tell& tell) {
  nn::init_unset(net, net.scheme(), settings.seed);
  if (settings.dirac) nn::init_dirac(net);
  if (settings.zero_gamma) nn::init_zero_gamma(net);
  if (settings.whiten) {
    constexpr std::int64_t kBatch = 32, kMostBatches = 32;  // their patches are enough
    data::Loader loader(train, {.batch_size = kBatch, .prefetch = 1});
    loader.start(data::Order::shuffled(settings.seed));
    std::int64_t batches = 0;
    nn::init_whitening(net, [&]() -> const Tensor* {
      const data::Batch* batch = batches++ < kMostBatches ? loader.next() : nullptr;
      return batch == nullptr ? nullptr : &batch->images;
    });
  }
  if (settings.init.empty()) return;
  const Weights weights = read_weights(settings.init);
  if (!settings.init_sha256.empty() && io::weights_sha256(weights.tensors) != settings.init_sha256) {
    throw FormatError(settings.init + " has other weights now than the run began with",
                      "a new run begins with these where --init is given once more");
  }
  constexpr std::int64_t kMostTold = 20;
  std::int64_t differences = 0;
  const auto differs = [&](const TensorDifference& difference) {
    if (++differences <= kMostTold) tell(to_string(difference));
  };
  try {
    const LoadReport report = load_weights(
        net, weights,
        {.replace_head = true, .adapt_input = true, .differs = differs, .classes = train.classes()});
    for (const std::string& decision : report.decisions) tell(decision);
  } catch (const FormatError&) {
    if (differences > kMostTold) tell(fmt::format("and {} tensors more", differences - kMostTold));
    throw;
  }
  if (const std::string note = note_of_normalization(weights, train.preprocessing().normalization);
      !note.empty())
    tell(note);
}

std::string chosen_text(const Settings& settings) {
  static const std::vector<std::string> names = [] {
    Table table;
    add_training(table);
    add_augment(table);
    std::vector<std::string> list = {"model"};
    for (const Option& o : table.lines) list.push_back(o.name);
    return list;
  }();
  const Settings defaults;
  const std::vector<Idle> idle = idle_augment_options(settings);
  std::string text;
  for (const std::string& name : names) {
    const std::string value = option(name).get(settings);
    if (std::ranges::count(idle, name, &Idle::option) > 0) continue;  // a recipe's
    if (value == option(name).get(defaults) || value.empty()) continue;
    text += (text.empty() ? "" : ", ") + name + " " + value;
  }
  return text;
}

data::Loader training_loader(const Settings& settings, const data::Dataset& train) {
  data::LoaderOptions options = train::loader_options(batch_options(settings));
  options.layout = ImageLayout::nchw;
  return {train, options};
}

data::Order training_order(const Settings& settings, const data::Dataset& train) {
  return train::order_of(batch_options(settings), train);
}

FitOptions fit_options(const Settings& settings, const nn::Module& net, const data::Dataset& train) {
  FitOptions result = batch_options(settings);
  result.epochs = settings.epochs;
  result.lr = settings.lr;
  result.steps = settings.steps;
  result.step_changes = settings.step_changes;
  result.seconds = settings.seconds;
  if (result.seconds > 0) result.step_changes.clear();
  result.optimizer = optimizer_of(settings, net);
  result.loss.label_smoothing = settings.label_smoothing;
  if (settings.class_weights == "auto") result.loss.class_weights = balancing_weights(train);
  result.schedule = settings.schedule;
  result.average = settings.average;
  result.views = settings.views;
  result.accumulate = settings.accumulate;
  result.clip_norm = settings.clip_norm;
  result.patience = settings.patience;
  result.on_nan = settings.on_nan == "skip"       ? OnNan::skip
                  : settings.on_nan == "rollback" ? OnNan::rollback
                                                  : OnNan::stop;
  return result;
}

}  // namespace resnet::settings
