#include "base/toml.h"

#include <fmt/core.h>

// What toml++ asserts does not hold of every file (digits behind a date's T), and is an error of its own a
// line later: it must neither end the process nor, where NDEBUG is defined, be told to the compiler as a
// fact.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include <algorithm>
#include <sstream>

#include "base/text.h"
#include "resnet/error.h"

namespace resnet {
namespace {

// The library recurses once for every table or list within another, and a dot in a key makes a table.
void check_limits(const std::string& text, const std::string& file) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 16U;
  constexpr std::ptrdiff_t kMostMarks = 1024;  // dots of numbers and paths count
  const auto marks =
      std::count_if(text.begin(), text.end(), [](char c) { return c == '.' || c == '[' || c == '{'; });
  if (text.size() > kMostBytes || marks > kMostMarks) {
    throw FormatError(
        fmt::format("{}: more than {} bytes, or {} dots and brackets", file, kMostBytes, kMostMarks),
        "is it the config.toml of a run?");
  }
}

std::optional<std::string> number_of(const toml::node& node) {
  if (const auto* real = node.as_floating_point()) {
    return fmt::format("{:#}", real->get());  // the shortest, with a point
  }
  if (!node.is_number()) return std::nullopt;
  std::ostringstream number;
  number << toml::node_view(node);
  return number.str();
}

std::optional<std::string> text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  const toml::array* list = node.as_array();
  if (list == nullptr) return number_of(node);
  std::string joined;
  for (const toml::node& element : *list) {
    const std::optional<std::string> number = number_of(element);
    if (!number) return std::nullopt;
    joined += (joined.empty() ? "" : ",") + *number;
  }
  return joined;
}

}  // namespace

std::vector<TomlEntry> parse_toml(const std::string& text, const std::string& file) {
  check_limits(text, file);
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
    const std::string name(key.str());
    if (const toml::table* inner = node.as_table()) {
      for (const auto& [inner_key, inner_node] : *inner)
        entries.push_back({name, std::string(inner_key.str()), text_of(inner_node)});
    } else {
      entries.push_back({"", name, text_of(node)});
    }
  }
  return entries;
}

std::string toml_quoted(const std::string& text) {
  if (!is_utf8(text)) {
    throw ConfigError(fmt::format("'{}' is not UTF-8: a config file cannot hold it", shown(text, 100)),
                      "give a name of the file or folder that is");
  }
  if (printable(text) == text && text.find('\'') == std::string::npos) return "'" + text + "'";
  std::string quoted = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (c.code == '"' || c.code == '\\') quoted += '\\';
    quoted += c.printable ? text.substr(at, c.bytes) : fmt::format("\\u{:04x}", c.code);
    at += c.bytes;
  }
  return quoted + '"';
}

}  // namespace resnet
