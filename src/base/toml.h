// Flat TOML files: `name = value`, a line each.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace resnet {

struct TomlEntry {
  std::string name;
  std::optional<std::string> value;  // a text without its quotes, or a number; else nothing
};

/// The entries of a file's top level, in the order of their names. Throws FormatError with `file` and the
/// line of what is not TOML, or for more than 64 KiB or 1,024 dots and brackets, which nest.
std::vector<TomlEntry> parse_toml(const std::string& text, const std::string& file);

/// `text` as TOML writes it, quoted and escaped on one line; parse_toml() gives back the same bytes. Throws
/// ConfigError for what is not UTF-8, which no TOML can hold.
std::string toml_quoted(const std::string& text);

}  // namespace resnet
