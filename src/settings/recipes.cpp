#include "settings/recipes.h"

#include <algorithm>

#include "settings/options.h"

namespace resnet::settings {
namespace {

struct Recipe {
  std::string name;
  Given settings;
};

// docs/recipes.md says why, and from where. The chapter's are the defaults.
const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> list = {
      {"chapter", {}},
      {"scratch",
       {{"batch-size", "128"},
        {"epochs", "30"},
        {"lr", "0.15"},
        {"momentum", "0.9"},
        {"nesterov", "yes"},
        {"weight-decay", "0.0005"},
        {"decay-all", "no"},
        {"schedule", "one-cycle"},
        {"label-smoothing", "0.1"},
        {"zero-gamma", "yes"},
        {"augment", "crop,alternating-flip"},
        {"crop-padding", "2"},
        {"erasing", "0.5"},
        {"ema", "0.999"}}},
      {"finetune",
       {{"batch-size", "64"},
        {"epochs", "10"},
        {"lr", "0.005"},
        {"lr-head", "10"},
        {"momentum", "0.9"},
        {"weight-decay", "0.0001"},
        {"decay-all", "no"},
        {"schedule", "cosine"},
        {"warmup", "1"},
        {"augment", "resized-crop,flip"},
        {"label-smoothing", "0.1"}}},
      {"fast",
       {{"batch-size", "128"},
        {"epochs", "8"},
        {"lr", "0.15"},
        {"lr-norm-bias", "1"},
        {"momentum", "0.85"},
        {"nesterov", "yes"},
        {"weight-decay", "0.0005"},
        {"decay-all", "no"},
        {"schedule", "triangular"},
        {"lr-start", "0.2"},
        {"lr-final", "0"},
        {"lr-peak", "0.23"},
        {"label-smoothing", "0.1"},
        {"dirac", "yes"},
        {"whiten", "yes"},
        {"augment", "crop,alternating-flip"},
        {"crop-padding", "2"},
        {"tta", "flip-shift"},
        {"ema", "0.98"}}},
  };
  return list;
}

}  // namespace

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const Recipe& r : recipes()) names.push_back(r.name);
  return names;
}

Given recipe(const std::string& name) {
  const auto found = std::ranges::find(recipes(), name, &Recipe::name);
  if (found == recipes().end()) throw ConfigError("there is no recipe '" + name + "'");
  const Settings defaults;
  Given result;
  for (const Recipe& other : recipes()) {
    for (const auto& [option_name, text] : other.settings)
      result.emplace_back(option_name, option(option_name).get(defaults));
  }
  result.insert(result.end(), found->settings.begin(), found->settings.end());
  return result;
}

}  // namespace resnet::settings
