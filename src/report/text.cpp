#include "report/text.h"

#include <fmt/core.h>

#include <cmath>
#include <cstdint>

namespace resnet::report {

namespace {

struct Character {
  std::size_t bytes = 1;
  int width = 1;      // cells
  bool valid = true;  // well-formed UTF-8 and not a control character
};

bool is_wide(std::uint32_t c) {  // the blocks of Unicode's East Asian Width that matter in names
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

bool is_combining(std::uint32_t c) {
  return (c >= 0x0300 && c <= 0x036F) || (c >= 0x200B && c <= 0x200F) || (c >= 0xFE00 && c <= 0xFE0F) ||
         c == 0xFEFF;
}

Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t first = byte(at);
  if (first < 0x80) return {1, 1, first >= 0x20 && first != 0x7F};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
  if (length == 0 || first > 0xF4 || at + length > text.size()) return {1, 1, false};
  std::uint32_t code = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {1, 1, false};
    code = code << 6U | (byte(at + i) & 0x3FU);
  }
  const std::uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  const bool valid = code >= least && code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF) &&
                     !(code >= 0x80 && code < 0xA0) && !(code >= 0x202A && code <= 0x202E) &&
                     !(code >= 0x2066 && code <= 0x2069) && code != 0x2028 && code != 0x2029 &&
                     code != 0xFFFE && code != 0xFFFF;
  return {length, is_combining(code) ? 0 : is_wide(code) ? 2 : 1, valid};
}

/// Bytes of the colour sequence at `at`, 0 if there is none.
std::size_t color_at(std::string_view text, std::size_t at) {
  if (text.substr(at, 2) != "\x1b[") return 0;
  const std::size_t end = text.find('m', at);
  return end == std::string_view::npos ? 0 : end + 1 - at;
}

}  // namespace

int cells(std::string_view text) {
  int width = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t color = color_at(text, at)) {
      at += color;
      continue;
    }
    const Character c = character_at(text, at);
    width += c.width;
    at += c.bytes;
  }
  return width;
}

std::string clip(std::string_view text, int width) {
  std::string out;
  bool colored = false;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t color = color_at(text, at)) {
      const std::string_view sequence = text.substr(at, color);
      colored = sequence != "\x1b[0m" && sequence != "\x1b[m";
      out += sequence;
      at += color;
      continue;
    }
    const Character c = character_at(text, at);
    if (c.width > width) break;
    width -= c.width;
    out += text.substr(at, c.bytes);
    at += c.bytes;
  }
  if (colored) out += "\x1b[0m";
  return out;
}

std::string shorten(std::string_view text, int width, bool utf8) {
  if (cells(text) <= width) return std::string(text);
  const std::string ellipsis = utf8 ? "…" : "~";
  while (!text.empty() && cells(text) > width - 1) text.remove_prefix(character_at(text, 0).bytes);
  return clip(ellipsis + std::string(text), width);
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (c.valid) {
      out += text.substr(at, c.bytes);
    } else {
      out += '?';
    }
    at += c.bytes;
  }
  return out;
}

std::string figure(double value) {
  if (std::isnan(value)) return "nan";  // its sign says nothing
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return std::fabs(value) < 999.9995 ? fmt::format("{:.3f}", value) : fmt::format("{:.3g}", value);
}

std::string interval(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const auto whole = static_cast<std::int64_t>(seconds);
  const std::int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  return hours != 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60)
                    : fmt::format("{:02}:{:02}", minutes, whole % 60);
}

}  // namespace resnet::report
