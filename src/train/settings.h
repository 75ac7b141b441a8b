// The settings of a run, declared once: flags, help, config.toml and documentation follow from the
// table of options.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "resnet/data.h"
#include "resnet/train.h"

namespace resnet::train {

/// What a person may set, with the chapter's values.
struct Settings {
  std::string data = "fashion-mnist";
  std::string data_dir;
  data::Resize resize{96};
  std::int64_t limit_train = 0, limit_test = 0;

  std::string model = "d2l_resnet18";
  std::vector<std::int64_t> blocks, channels;  // empty: the model's own
  std::string block;                           // "": the model's own
  std::string stem;                            // "": large
  Shape input;                                 // rank 0: from the data

  std::int64_t batch_size = 256, epochs = 10, steps = 0;
  float lr = 0.05F;
  std::uint64_t seed = 0;

  int threads = 0;  // 0: what the machine leaves
  std::string isa;  // "": the strongest
  Precision precision = Precision::f32;
  std::string device = "auto";
  std::string out;
};

/// One option: `--name VALUE`, and `name = value` in config.toml.
struct Option {
  std::string name;         // as in the flag, without dashes
  std::string placeholder;  // of the value, in help
  std::string help;         // one sentence, lower case, no full stop
  bool text = false;        // quoted in config.toml
  /// Throws ConfigError for a text that the option cannot take.
  std::function<void(Settings&, const std::string& text)> set;
  std::function<std::string(const Settings&)> get;  // as set() takes it; "" where unset
  std::vector<std::string> choices = {};            // all values there are, or the usual ones; may be empty
};

/// All options, in the order of the help.
const std::vector<Option>& options();
/// The option called `name`. Throws ConfigError if there is none.
const Option& option(std::string_view name);

/// A complete config.toml, from which `resnet train --config` repeats the run.
std::string to_toml(const Settings& settings);
/// Throws FormatError for what is not TOML or not an option, ConfigError for an impossible value.
Settings settings_from_toml(const std::string& text, const std::string& file);

/// `NxCxHxW`, each extent at least 1.
Shape parse_input(const std::string& text);

data::Dataset open_data(const Settings& settings, data::Split split);
EngineOptions engine_options(const Settings& settings);
FitOptions fit_options(const Settings& settings);

/// Throws what tracing the network throws for the batches of an epoch, the last short one included.
void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size);
/// Threads that load data beside an engine of so many.
int loader_threads(int threads);

/// The nearest of `names` to a mistyped one by edit distance, or "" if none is near.
std::string nearest(std::string_view mistyped, const std::vector<std::string>& names);

}  // namespace resnet::train
