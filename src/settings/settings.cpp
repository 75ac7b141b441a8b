#include "settings/settings.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/nearest.h"
#include "base/toml.h"
#include "resnet/models.h"
#include "settings/options.h"

namespace resnet::settings {

std::string to_toml(const Settings& settings) {
  std::string result = "# A run of resnet train; repeat it with: resnet train --config FILE --out DIR\n";
  for (const Option& o : options()) {
    const std::string value = o.get(settings);
    if (value.empty()) continue;
    result += o.name + " = " + (o.text ? toml_quoted(value) : value) + "\n";
  }
  return result;
}

Settings from_toml(const std::string& text, const std::string& file) {
  std::vector<std::string> names;
  for (const Option& o : options()) names.push_back(o.name);
  Settings settings;
  for (const auto& [name, value] : parse_toml(text, file)) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      const std::string near = nearest(name, names);
      throw FormatError(fmt::format("{}: there is no option '{}'", file, name),
                        near.empty() ? "resnet train --help lists them" : "did you mean '" + near + "'?");
    }
    if (!value) throw FormatError(fmt::format("{}: '{}' must be a number or a text", file, name));
    try {
      option(name).set(settings, *value);
    } catch (const ConfigError& error) {
      throw FormatError(fmt::format("{}: {}", file, error.what()), error.hint());
    }
  }
  return settings;
}

nn::Sequential make_model(const Settings& settings, std::int64_t in_channels, std::int64_t classes) {
  models::ResNetOptions options;
  options.in_channels = in_channels;
  options.classes = classes;
  options.blocks.assign(settings.blocks.begin(), settings.blocks.end());
  options.channels.assign(settings.channels.begin(), settings.channels.end());
  if (!settings.block.empty()) {
    options.block = settings.block == "basic" ? models::Block::basic : models::Block::bottleneck;
  }
  if (settings.stem == "small") options.stem = models::Stem::small;
  return models::make(settings.model, options);
}

data::Dataset open_data(const Settings& settings, data::Split split) {
  return data::open(settings.data, split,
                    {.resize = settings.resize,
                     .dir = settings.data_dir,
                     .limit = split == data::Split::train ? settings.limit_train : settings.limit_test});
}

EngineOptions engine_options(const Settings& settings) {
  return {.threads = settings.threads,
          .isa = settings.isa,
          .precision = settings.precision,
          .seed = settings.seed};
}

FitOptions fit_options(const Settings& settings) {
  FitOptions result;
  result.epochs = settings.epochs;
  result.batch_size = settings.batch_size;
  result.lr = settings.lr;
  result.seed = settings.seed;
  result.steps = settings.steps;
  result.engine = engine_options(settings);
  return result;
}

}  // namespace resnet::settings
