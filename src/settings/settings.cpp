#include "settings/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/files.h"
#include "base/machine.h"
#include "base/nearest.h"
#include "base/text.h"
#include "base/toml.h"
#include "data/folder.h"
#include "data/sources.h"
#include "report/run_record.h"
#include "resnet/models.h"
#include "settings/options.h"
#include "settings/recipes.h"
#include "settings/values.h"

namespace resnet::settings {

namespace {

namespace fs = std::filesystem;

// `path` as it is called from everywhere. Without "." and ".." where that is the same place.
std::string absolute(const std::string& path) {
  const fs::path whole = fs::absolute(path);
  const fs::path tidy = whole.lexically_normal();
  return (are_same(whole, tidy) ? tidy : whole).string();
}

std::string recorded_folder(const char* flag, const std::string& folder) {
  std::string path = absolute(folder);
  if (is_utf8(path)) return path;
  throw ConfigError(
      fmt::format("--{}: the path {} is not UTF-8, and config.toml could not hold it", flag, path),
      "give a link to it, or rename the folder");
}

}  // namespace

Settings recorded(Settings settings, const data::TrainTest& sets) {
  settings.train_sha256 = sets.train.content_sha256();
  settings.test_sha256 = sets.test.content_sha256();
  settings.val_sha256 = sets.validation ? sets.validation->content_sha256() : "";
  return with_whole_paths(std::move(settings));
}

Settings with_whole_paths(Settings settings) {
  settings.data = data::full_name(settings.data);
  bool in_folder = false;  // whether the data set's name has its folder
  for (const data::DataSource& source : data::data_sources()) {
    const std::string prefix = source.completion();
    if (!source.folder || !settings.data.starts_with(prefix)) continue;
    in_folder = true;
    settings.data = prefix + recorded_folder("data", settings.data.substr(prefix.size()));
  }
  if (!in_folder && settings.data_dir.empty()) settings.data_dir = data::folder_of_environment().string();
  if (!settings.data_dir.empty()) settings.data_dir = recorded_folder("data-dir", settings.data_dir);
  if (!settings.init.empty()) settings.init = recorded_folder("init", settings.init);
  if (!settings.out.empty()) settings.out = absolute(settings.out);
  if (!is_utf8(settings.out)) settings.out.clear();
  return settings;
}

namespace {

// Whether the first `limit` examples, 0: all, have the SHA-256 `known`; true where that is "".
bool is_known(const std::string& known, std::int64_t limit, const data::Dataset& dataset) {
  const data::Dataset::Source& source = dataset.source();
  const std::int64_t count = limit > 0 ? std::min(limit, source.size()) : source.size();
  return known.empty() ||
         known == (count == dataset.size() ? dataset.content_sha256() : data::content_sha256(source, count));
}

}  // namespace

bool is_data_of(const Settings& run, data::Split split, const data::Dataset& dataset) {
  return split == data::Split::train ? is_known(run.train_sha256, run.limit_train, dataset)
                                     : is_known(run.test_sha256, run.limit_test, dataset);
}

bool is_data_of(const Settings& run, const data::TrainTest& sets) {
  const bool watched =
      sets.validation ? is_known(run.val_sha256, run.limit_test, *sets.validation) : run.val_sha256.empty();
  return watched && is_data_of(run, data::Split::train, sets.train) &&
         is_data_of(run, data::Split::test, sets.test);
}

std::string to_toml(const Settings& settings) {
  std::string result = fmt::format("{} repeat it with: resnet train --config FILE --out DIR\n", kTomlHeading);
  Settings otherwise;  // what a line that is left out means
  set_all({{"recipe", settings.recipe}}, otherwise);
  for (const Option& o : options()) {
    const std::string value = o.get(settings);
    if (value.empty() && o.get(otherwise).empty()) continue;
    const bool bare = !value.empty() && value.find(',') == std::string::npos;  // as TOML has them
    result += o.name + " = " + (o.text || !bare ? toml_quoted(value) : value) + "\n";
  }
  if (result.size() > kMostTomlBytes)  // nothing could go on with such a run
    throw ConfigError(fmt::format("the settings have {} bytes, more than {}", result.size(), kMostTomlBytes),
                      "give shorter ones: --freeze layer1 means all that is in it");
  return result;
}

namespace {

// The options of `given`, each set once by set(settings, its place in `given`): all wins over the recipe.
template <class Set>
void set_each(const Given& given, Settings& settings, const Set& set) {
  const auto named =
      std::find_if(given.rbegin(), given.rend(), [](const auto& o) { return o.first == "recipe"; });
  if (named != given.rend()) {
    set(settings, static_cast<std::size_t>(given.rend() - named) - 1);  // refuses what is none
    for (const auto& [name, text] : recipe(named->second)) option(name).set(settings, text);
  }
  for (std::size_t i = 0; i < given.size(); ++i) set(settings, i);
}

}  // namespace

void set_all(const Given& given, Settings& settings) {
  set_each(given, settings,
           [&](Settings& to, std::size_t i) { option(given[i].first).set(to, given[i].second); });
}

Settings from_toml(const std::string& text, const std::string& file) {
  std::vector<std::string> all;
  for (const Option& o : options()) all.push_back(o.name);
  Given given;
  std::vector<std::string> places;  // of `given`
  for (const TomlEntry& entry : parse_toml(text, file)) {
    const bool of_network = entry.table == "model";
    const std::string where = entry.table.empty() ? file : fmt::format("{}: [{}]", file, entry.table);
    if (!entry.table.empty() && !of_network) {
      throw FormatError(fmt::format("{}: there is no table '{}'", file, entry.table),
                        "a config file has name = value, and at most the table [model]");
    }
    const std::string name = of_network && entry.name == "name" ? "model" : entry.name;
    const std::vector<std::string>& names = of_network ? network_options() : all;
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      const std::string near = nearest(name, names);
      throw FormatError(fmt::format("{}: there is no option '{}'", where, name),
                        near.empty() ? "resnet train --help lists them" : "did you mean '" + near + "'?");
    }
    if (!entry.value) {
      throw FormatError(
          fmt::format("{}: '{}' must be a number, a text or a list of numbers", where, entry.name),
          "write 'yes' or 'no' for true and false, and several names as one text with commas between");
    }
    given.emplace_back(name, *entry.value);
    places.push_back(where);
  }
  Settings settings;
  set_each(given, settings, [&](Settings& to, std::size_t i) {
    try {
      option(given[i].first).set(to, given[i].second);
    } catch (const ConfigError& error) {
      throw FormatError(fmt::format("{}: {}", places[i], error.what()), error.hint());
    }
  });
  return settings;
}

nn::Sequential make_model(const Settings& settings, std::int64_t in_channels, std::int64_t classes) {
  models::ResNetOptions options = settings.network;
  options.in_channels = in_channels;
  options.classes = classes;
  return models::make(settings.model, options);
}

namespace {

// Nothing is known yet of the pictures; one of 24 megapixels takes 72 MB, and as much again to be turned.
int scan_threads(const Settings& settings) {
  constexpr std::int64_t kBytes = 144'000'000;  // of a thread
  const int threads = settings.threads > 0 ? settings.threads : default_threads();
  if (settings.memory.empty()) return threads;
  const std::int64_t fit = std::max<std::int64_t>(1, parse_size("memory", settings.memory) / kBytes);
  return static_cast<int>(std::min<std::int64_t>(threads, fit));
}

data::DatasetOptions data_options(const Settings& settings, const data::DatasetOptions& watch) {
  data::DatasetOptions options = watch;
  options.resize = settings.resize;
  options.filter = settings.resize_filter == "bicubic" ? images::Filter::bicubic : images::Filter::bilinear;
  options.crop = settings.crop;
  options.jpeg_draft = settings.jpeg == "draft";
  options.normalization = parse_normalization("normalize", settings.normalize);
  options.dir = settings.data_dir;
  options.val_split = settings.val_split;
  options.seed = settings.seed;
  options.scan_threads = scan_threads(settings);
  options.on_bad_file = settings.on_bad_file == "skip" ? data::BadFiles::skip : data::BadFiles::stop;
  return options;
}

data::Dataset opened(const Settings& settings, data::Split split, const data::DatasetOptions& options) {
  return data::open(settings.data, split, options)
      .first(split == data::Split::train ? settings.limit_train : settings.limit_test);
}

}  // namespace

data::TrainTest open_data(const Settings& settings, const data::DatasetOptions& watch) {
  data::TrainTest sets = data::open(settings.data, data_options(settings, watch));
  sets.train = sets.train.first(settings.limit_train);
  for (data::Dataset* set : {&sets.test, sets.validation ? &*sets.validation : nullptr}) {
    if (set != nullptr) *set = set->first(settings.limit_test);
  }
  return data::cached(std::move(sets), cache_options(settings));
}

data::Dataset open_data(const Settings& settings, data::Split split, const data::DatasetOptions& watch) {
  return opened(settings, split, data_options(settings, watch));
}

data::Dataset open_data(const Settings& settings, data::Split split, const data::DatasetOptions& watch,
                        const data::Preprocessing& of_model) {
  data::DatasetOptions options = data_options(settings, watch);
  options.resize = of_model.resize;
  options.filter = of_model.filter;
  options.crop = of_model.crop;
  options.jpeg_draft = of_model.jpeg_draft;
  options.normalization = of_model.normalization;
  return opened(settings, split, options);
}

data::CacheOptions cache_options(const Settings& settings) {
  using Kind = data::CacheKind;
  data::CacheOptions options;
  options.kind = settings.cache == "memory" ? Kind::memory
                 : settings.cache == "disk" ? Kind::disk
                                            : Kind::none;
  if (!settings.cache_size.empty()) options.bytes = parse_size("cache-size", settings.cache_size);
  return options;
}

CheckpointOptions checkpoint_options(const Settings& settings, const std::filesystem::path& run) {
  if (settings.checkpoint_steps == 0 && settings.checkpoint_seconds == 0) return {};
  return {.folder = run / report::kCheckpoints,
          .every_steps = settings.checkpoint_steps,
          .every_seconds = settings.checkpoint_seconds,
          .keep = settings.keep};
}

EngineOptions engine_options(const Settings& settings) {
  return {.device = settings.device,
          .threads = settings.threads,
          .isa = settings.isa,
          .precision = settings.precision,
          .seed = settings.seed,
          .memory = settings.memory.empty() ? 0 : parse_size("memory", settings.memory)};
}

}  // namespace resnet::settings
