#include "base/toml.h"

#include <fmt/core.h>
#include <toml++/toml.h>

#include <sstream>

#include "resnet/error.h"

namespace resnet {

std::vector<TomlEntry> parse_toml(const std::string& text, const std::string& file) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw FormatError(
        file + ":" + std::to_string(error.source().begin.line) + ": " + std::string(error.description()),
        "a config file is TOML: name = value");
  }
  std::vector<TomlEntry> entries;
  for (const auto& [key, node] : table) {
    std::optional<std::string> value;
    if (const auto* string = node.as_string()) {
      value = string->get();
    } else if (const auto* real = node.as_floating_point()) {
      value = fmt::format("{:#}", real->get());  // the shortest, with a point
    } else if (node.is_number()) {
      std::ostringstream number;
      number << toml::node_view(node);
      value = number.str();
    }
    entries.push_back({std::string(key.str()), std::move(value)});
  }
  return entries;
}

std::string toml_quoted(const std::string& text) {
  std::ostringstream quoted;
  quoted << toml::value<std::string>(text);
  return quoted.str();
}

}  // namespace resnet
