// Text from outside (files, file names, the environment) as people see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace resnet {

/// One character of UTF-8 text. A byte that begins none is a character of its own.
struct Character {
  std::size_t bytes = 1;
  std::uint32_t code = 0;  // of a broken one: its byte
  bool well_formed = true;
  bool printable = true;  // neither broken nor a command to a terminal: controls, C1, marks of direction
};
Character character_at(std::string_view text, std::size_t at);

bool is_utf8(std::string_view text);

/// ASCII letters as small ones.
std::string lower_case(std::string_view text);

/// The lines of a text that an editor wrote: without a byte order mark, and without the \r of some systems.
std::vector<std::string> lines_of(std::string_view text);

/// `text` without commands to a terminal: what is not printable becomes \x1b or \u202e. The rest stays as it
/// is, and so does text that went through here before.
std::string printable(std::string_view text);

/// The same for XML 1.0 and HTML, between tags and in quoted attributes: & < > " are escaped too.
std::string xml_text(std::string_view text);

/// A field of CSV (RFC 4180): in quotes where it has a comma, a quote or a line's end.
std::string csv_field(std::string_view text);
/// The same of printable(): what files chose, for tables that people look at.
std::string printable_field(std::string_view text);

/// Printable text of at most `most` bytes: where it is longer, "..." stands for its middle.
std::string shown(std::string_view text, std::size_t most);
/// A name from a file for a message: shown(), in quotes.
std::string in_quotes(std::string_view name, std::size_t most = 100);

/// "1 share", "3 shares"
std::string counted(std::int64_t count, std::string_view one, std::string_view several);

/// `bytes` in base64 (RFC 4648).
std::string base64(std::span<const std::uint8_t> bytes);

}  // namespace resnet
