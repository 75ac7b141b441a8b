#include "report/text.h"

#include <fmt/core.h>

#include <cmath>
#include <cstdint>

#include "base/text.h"

namespace resnet::report {

namespace {

bool is_wide(std::uint32_t c) {  // the blocks of Unicode's East Asian Width that matter in names
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

bool is_combining(std::uint32_t c) {
  return (c >= 0x0300 && c <= 0x036F) || (c >= 0x200B && c <= 0x200F) || (c >= 0xFE00 && c <= 0xFE0F) ||
         c == 0xFEFF;
}

int width_of(const Character& c) {
  return !c.well_formed ? 1 : is_combining(c.code) ? 0 : is_wide(c.code) ? 2 : 1;
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
    width += width_of(c);
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
    if (width_of(c) > width) break;
    width -= width_of(c);
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
