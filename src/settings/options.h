// The table of options. A line of it is a flag with its help, a name in config.toml, a completion, and a
// paragraph of the manual page.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "settings/settings.h"

namespace resnet::settings {

/// One option: `--name VALUE`, and `name = value` in config.toml; `--name` and `name = 'yes'` where the
/// placeholder is empty.
struct Option {
  std::string name;         // as in the flag, without dashes
  std::string placeholder;  // of the value, in help
  std::string help;         // one sentence, lower case, no full stop
  bool text = false;        // quoted in config.toml
  /// Throws ConfigError for a text that the option cannot take.
  std::function<void(Settings&, const std::string& text)> set;
  std::function<std::string(const Settings&)> get;  // as set() takes it; "" where unset
  std::vector<std::string> fields = {};             // of the library, "FitOptions::epochs", that it sets
  std::vector<std::string> choices = {};            // all values there are, or the usual ones; may be empty
  bool flag = true;                                 // false: in config.toml alone, written by a run
  std::string group = {};  // the option that stands for all of its kind: "model", "augment", or ""
};

/// All options, in the order of the help.
const std::vector<Option>& options();
/// Names of the options that say what the network is; they may stand in the table [model] of a config file.
const std::vector<std::string>& network_options();
/// Names of those that say how training examples are changed at random.
const std::vector<std::string>& augment_options();
/// The option called `name`. Throws ConfigError if there is none.
const Option& option(std::string_view name);

/// A field of the library as its flag, wherever `message` names it.
void name_flag(std::string& message, std::string_view field, std::string_view flag);
/// A message of the library with flags in place of its fields: "FitOptions::epochs must be at least 1" ->
/// "--epochs must be at least 1".
std::string in_flags(std::string message);

}  // namespace resnet::settings
