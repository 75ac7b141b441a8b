#include "train/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/machine.h"
#include "resnet/models.h"

namespace resnet::train {
namespace {

[[noreturn]] void reject(std::string_view name, const std::string& text, const std::string& wanted) {
  throw ConfigError(fmt::format("--{} cannot be '{}'", name, text), "give " + wanted);
}

template <class Number>
Number whole(std::string_view name, const std::string& text, Number least, Number most,
             const std::string& wanted) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    reject(name, text, wanted);
  }
  return value;
}

std::int64_t count(std::string_view name, const std::string& text, std::int64_t least, std::int64_t most) {
  return whole<std::int64_t>(name, text, least, most,
                             fmt::format("a whole number from {} to {}", least, most));
}

// Whole numbers with `separator` between them; a message shows the whole text.
std::vector<std::int64_t> counts(std::string_view name, const std::string& text, char separator,
                                 std::int64_t most, const std::string& wanted) {
  std::vector<std::int64_t> numbers;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    const char* last = text.data() + end;
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, last, number);
    if (error != std::errc() || stop != last || number < 1 || number > most) reject(name, text, wanted);
    numbers.push_back(number);
    begin = end + 1;
  }
  return numbers;
}

std::vector<std::int64_t> stage_counts(std::string_view name, const std::string& text) {
  constexpr std::int64_t kMost = 1 << 16;
  return counts(name, text, ',', kMost, "whole numbers of at least 1 with commas between, one a stage");
}

data::Resize parse_resize(const std::string& text) {
  constexpr std::int64_t kMost = 65535;
  const std::string wanted = "a number of pixels (shorter side), or HxW, each from 1 to 65535";
  const std::vector<std::int64_t> sides = counts("resize", text, 'x', kMost, wanted);
  if (sides.size() == 1) return {static_cast<int>(sides[0])};
  if (sides.size() != 2) reject("resize", text, wanted);
  return {sides[0], sides[1]};
}

std::string to_text(const data::Resize& resize) {
  if (resize.height == 0) return "";
  return resize.width == 0 ? std::to_string(resize.height)
                           : fmt::format("{}x{}", resize.height, resize.width);
}

float parse_lr(const std::string& text) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value < 0) {
    reject("lr", text, "a finite number of at least 0, e.g. 0.05");
  }
  return value;
}

std::string one_of(std::string_view name, const std::string& text, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), text) != names.end()) return text;
  const std::string near = nearest(text, names);
  reject(name, text,
         near.empty() ? fmt::format("one of {}", fmt::join(names, ", "))
                      : fmt::format("one of {} (did you mean {}?)", fmt::join(names, ", "), near));
}

constexpr std::int64_t kMost = std::int64_t{1} << 40;

std::vector<Option> make_options() {
  std::vector<Option> list;
  const auto number = [&](const std::string& name, std::string placeholder, std::string help,
                          std::int64_t least, std::int64_t most, std::int64_t Settings::*field) {
    list.push_back({name, std::move(placeholder), std::move(help), false,
                    [=](Settings& s, const std::string& text) { s.*field = count(name, text, least, most); },
                    [=](const Settings& s) { return std::to_string(s.*field); }});
  };
  const auto text = [&](const std::string& name, std::string placeholder, std::string help,
                        std::string Settings::*field, const std::vector<std::string>& names) {
    list.push_back(
        {name, std::move(placeholder), std::move(help), true,
         [=](Settings& s, const std::string& t) { s.*field = names.empty() ? t : one_of(name, t, names); },
         [=](const Settings& s) { return s.*field; }, names});
  };
  const auto numbers = [&](const std::string& name, std::string help,
                           std::vector<std::int64_t> Settings::*field) {
    list.push_back({name, "N,N,...", std::move(help), true,
                    [=](Settings& s, const std::string& t) { s.*field = stage_counts(name, t); },
                    [=](const Settings& s) { return fmt::format("{}", fmt::join(s.*field, ",")); }});
  };

  text("data", "SET", "data set: fashion-mnist, cifar10, cifar100 or idx:DIR", &Settings::data, {});
  list.back().choices = {"fashion-mnist", "cifar10", "cifar100", "idx:"};
  text("data-dir", "DIR", "folder of the data set; default $RESNET_DATA_DIR, then the system's",
       &Settings::data_dir, {});
  list.push_back({"resize", "N|HxW", "size of the images: shorter side, or exactly height x width", true,
                  [](Settings& s, const std::string& t) { s.resize = parse_resize(t); },
                  [](const Settings& s) { return to_text(s.resize); }});
  number("limit-train", "N", "use the first N training examples; 0: all", 0, kMost, &Settings::limit_train);
  number("limit-test", "N", "use the first N test examples; 0: all", 0, kMost, &Settings::limit_test);
  text("model", "NAME", fmt::format("network: {}", fmt::join(models::names(), ", ")), &Settings::model,
       models::names());
  numbers("blocks", "blocks of each stage instead of the model's", &Settings::blocks);
  numbers("channels", "channels of each stage instead of the model's", &Settings::channels);
  text("block", "KIND", "kind of block instead of the model's: basic or bottleneck", &Settings::block,
       {"basic", "bottleneck"});
  text("stem", "KIND",
       "large: 7x7 at stride 2 and a pool; small: 3x3, for images of some 32 pixels; default large",
       &Settings::stem, {"large", "small"});
  list.push_back({"input", "NxCxHxW", "shape of the input: images, channels, height, width", true,
                  [](Settings& s, const std::string& t) { s.input = parse_input(t); },
                  [](const Settings& s) {
                    return s.input.rank() == 0 ? "" : fmt::format("{}", fmt::join(s.input, "x"));
                  }});
  number("batch-size", "N", "examples of a step", 1, 1 << 20, &Settings::batch_size);
  number("epochs", "N", "passes over the training set", 1, kMost, &Settings::epochs);
  number("steps", "N", "stop after N steps over all epochs; 0: never", 0, kMost, &Settings::steps);
  list.push_back({"lr", "X", "learning rate", false,
                  [](Settings& s, const std::string& t) { s.lr = parse_lr(t); },
                  [](const Settings& s) { return fmt::format("{}", s.lr); }});
  list.push_back({"seed", "N", "seed of initialisation, shuffling and dropout, 0 to 2^64-1", true,
                  [](Settings& s, const std::string& t) {
                    s.seed = whole<std::uint64_t>("seed", t, 0, std::numeric_limits<std::uint64_t>::max(),
                                                  "a whole number from 0 to 2^64-1");
                  },
                  [](const Settings& s) { return std::to_string(s.seed); }});
  list.push_back(
      {"threads", "N", "threads; default: what affinity and control group allow", true,
       [](Settings& s, const std::string& t) { s.threads = static_cast<int>(count("threads", t, 1, 1024)); },
       [](const Settings& s) { return s.threads == 0 ? "" : std::to_string(s.threads); }});
  list.push_back(
      {"precision",
       "f32|bf16",
       "type of operands and stored activations",
       true,
       [](Settings& s, const std::string& t) {
         s.precision = one_of("precision", t, {"f32", "bf16"}) == "f32" ? Precision::f32 : Precision::bf16;
       },
       [](const Settings& s) { return std::string(name_of(storage_of(s.precision))); },
       {"f32", "bf16"}});
  text("isa", "LEVEL", "use at most this instruction set: avx2, avx512 or avx512_bf16", &Settings::isa,
       {"avx2", "avx512", "avx512_bf16"});
  text("device", "NAME", "auto or cpu", &Settings::device, {"auto", "cpu"});
  text("out", "DIR", "folder of the run; default runs/<model>-<n>", &Settings::out, {});
  return list;
}

}  // namespace

const std::vector<Option>& options() {
  static const std::vector<Option> list = make_options();
  return list;
}

const Option& option(std::string_view name) {
  for (const Option& candidate : options()) {
    if (candidate.name == name) return candidate;
  }
  throw ConfigError("there is no option '" + std::string(name) + "'");
}

std::string to_toml(const Settings& settings) {
  std::string result = "# A run of resnet train; repeat it with: resnet train --config FILE --out DIR\n";
  for (const Option& o : options()) {
    const std::string value = o.get(settings);
    if (value.empty()) continue;
    if (o.text) {
      std::ostringstream quoted;
      quoted << toml::value<std::string>(value);
      result += o.name + " = " + quoted.str() + "\n";
    } else {
      result += o.name + " = " + value + "\n";
    }
  }
  return result;
}

Settings settings_from_toml(const std::string& text, const std::string& file) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw FormatError(fmt::format("{}:{}: {}", file, error.source().begin.line, error.description()),
                      "a config file is TOML: name = value");
  }
  Settings settings;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    std::vector<std::string> names;
    for (const Option& o : options()) names.push_back(o.name);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      const std::string near = nearest(name, names);
      throw FormatError(fmt::format("{}: there is no option '{}'", file, name),
                        near.empty() ? "resnet train --help lists them" : "did you mean '" + near + "'?");
    }
    std::ostringstream value;
    if (const auto* string = node.as_string()) {
      value << string->get();
    } else if (node.is_number()) {
      value << toml::node_view(node);
    } else {
      throw FormatError(fmt::format("{}: '{}' must be a number or a text", file, name));
    }
    try {
      option(name).set(settings, value.str());
    } catch (const ConfigError& error) {
      throw FormatError(fmt::format("{}: {}", file, error.what()), error.hint());
    }
  }
  return settings;
}

Shape parse_input(const std::string& text) {
  const std::string wanted = "NxCxHxW, four whole numbers of at least 1, e.g. 1x1x224x224";
  constexpr std::int64_t kMost = 1 << 24;
  const std::vector<std::int64_t> extents = counts("input", text, 'x', kMost, wanted);
  if (extents.size() != 4) reject("input", text, wanted);
  return Shape(extents);
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

void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size) {
  const Shape& example = train.example_shape();
  for (const std::int64_t batch : {std::min(batch_size, train.size()), train.size() % batch_size}) {
    if (batch > 0) nn::trace(net, {batch, example[0], example[1], example[2]}, Mode::train);
  }
}

int loader_threads(int threads) {
  return std::clamp(threads / 4, 1, 8);
}

std::string nearest(std::string_view mistyped, const std::vector<std::string>& names) {
  std::string best;
  std::size_t least = std::max<std::size_t>(2, mistyped.size() / 3) + 1;  // farther is no likely typo
  for (const std::string& name : names) {
    std::vector<std::size_t> row(name.size() + 1);  // Levenshtein, a row at a time
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= mistyped.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= name.size(); ++j) {
        const std::size_t replaced = diagonal + (mistyped[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = name;
    }
  }
  return best;
}

}  // namespace resnet::train
