// TOML files of two levels: `name = value`, a line each, also in tables.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace resnet {

struct TomlEntry {
  std::string table;  // [table] in which it stands; "" at the top level
  std::string name;
  // A text without its quotes, a number, or numbers of a list with commas between; else nothing.
  std::optional<std::string> value;
};

/// The longest file that parse_toml() takes, in bytes.
inline constexpr std::size_t kMostTomlBytes = std::size_t{1} << 16U;

/// The entries of a file, those of a table where its name would stand, in the order of names; an empty
/// table has none. Throws FormatError with `file` and the line of what is not TOML, or for more than 64 KiB or
/// 1,024 dots and brackets outside of texts, which nest.
std::vector<TomlEntry> parse_toml(const std::string& text, const std::string& file);

/// `text` as TOML writes it, quoted and escaped on one line; parse_toml() gives back the same bytes. Throws
/// ConfigError for what is not UTF-8, which no TOML can hold.
std::string toml_quoted(const std::string& text);

}  // namespace resnet
