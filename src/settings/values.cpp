#include "settings/values.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/joined.h"
#include "base/nearest.h"

namespace resnet::settings {
namespace {

[[noreturn]] void reject(std::string_view flag, const std::string& text, const std::string& wanted) {
  throw ConfigError(fmt::format("--{} cannot be '{}'", flag, text), "give " + wanted);
}

// Whether all of `text` is a number that `value` can hold.
template <class Number>
bool parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  value += 0;  // -0 is 0
  return error == std::errc() && end == text.data() + text.size();
}

// One part, which is empty, of "".
std::vector<std::string> split_at(char separator, std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Whole numbers of at least 1 with `separator` between them; a message shows the whole text.
std::vector<std::int64_t> parse_list(std::string_view flag, const std::string& text, char separator,
                                     std::int64_t most, const std::string& wanted) {
  std::vector<std::int64_t> numbers;
  for (const std::string& part : split_at(separator, text)) {
    std::int64_t number = 0;
    if (!parse(part, number) || number < 1 || number > most) reject(flag, text, wanted);
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

std::int64_t parse_count(std::string_view flag, const std::string& text, std::int64_t least,
                         std::int64_t most) {
  std::int64_t value = 0;
  if (!parse(text, value) || value < least || value > most) {
    reject(flag, text, fmt::format("a whole number from {} to {}", least, most));
  }
  return value;
}

std::uint64_t parse_seed(std::string_view flag, const std::string& text) {
  std::uint64_t value = 0;
  if (!parse(text, value)) reject(flag, text, "a whole number from 0 to 2^64-1");
  return value;
}

double parse_real(std::string_view flag, const std::string& text, double least, double most) {
  double value = 0;
  if (!parse(text, value) || !(value >= least && value <= most)) {
    reject(flag, text, fmt::format("a number from {} to {}", least, most));
  }
  return value;
}

std::string shortest(double value) {
  return fmt::format("{}", value);
}

double parse_time(std::string_view flag, const std::string& text) {
  if (text == "0") return 0;
  constexpr double kMostSeconds = 366 * 86400.0;
  double value = 0;
  const std::string_view number = std::string_view(text).substr(0, text.empty() ? 0 : text.size() - 1);
  const double unit = text.ends_with('s') ? 1 : text.ends_with('m') ? 60 : text.ends_with('h') ? 3600 : 0;
  if (unit == 0 || !parse(number, value) || !(value > 0 && value * unit <= kMostSeconds)) {
    reject(flag, text, "a time of up to a year with its unit, e.g. 90s, 8m or 1.5h");
  }
  return value * unit;
}

std::int64_t parse_size(std::string_view flag, const std::string& text) {
  constexpr std::string_view kUnits = "KMGT";
  constexpr double kMostBytes = 0x1p50;
  double value = 0;
  const std::size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  const std::string_view number = std::string_view(text).substr(0, text.empty() ? 0 : text.size() - 1);
  if (unit == std::string_view::npos || !parse(number, value) || !(value > 0)) value = kMostBytes;
  for (std::size_t i = 0; i <= unit && value < kMostBytes; ++i) value *= 1024;
  if (!(value >= 1 && value < kMostBytes)) {
    reject(flag, text, "a size below 1024T with its unit, e.g. 512M or 4G");
  }
  return static_cast<std::int64_t>(value);
}

float parse_rate(std::string_view flag, const std::string& text) {
  float value = 0;
  if (!parse(text, value) || !std::isfinite(value) || value < 0) {
    reject(flag, text, "a finite number of at least 0, e.g. 0.05");
  }
  return value;
}

double parse_share(std::string_view flag, const std::string& text) {
  double value = 0;
  if (!parse(text, value) || !(value >= 0 && value < 1)) {
    reject(flag, text, "a number of at least 0 and below 1, e.g. 0.1");
  }
  return value;
}

std::vector<std::int64_t> parse_stages(std::string_view flag, const std::string& text) {
  constexpr std::int64_t kMost = 1 << 16;
  return parse_list(flag, text, ',', kMost, "whole numbers from 1 to 65536 with commas between, one a stage");
}

std::pair<std::int64_t, std::vector<StepChange>> parse_steps(std::string_view flag, const std::string& text) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  const auto count = [](std::string_view part) -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    return parse(part, value) && value >= 0 && value <= kMost ? std::optional(value) : std::nullopt;
  };
  const std::vector<std::string> parts = split_at(',', text);
  if (parts.size() == 1) return {parse_count(flag, text, 0, kMost), {}};
  std::pair<std::int64_t, std::vector<StepChange>> result;
  const std::optional<std::int64_t> steps = count(parts[0]);
  bool fits = steps.has_value();
  for (std::size_t i = 1; fits && i < parts.size(); ++i) {
    const std::vector<std::string> change = split_at(':', parts[i]);
    const auto from = count(change.front()), to = count(change.back());
    fits = change.size() == 2 && from && to;
    if (fits) result.second.push_back({*from, *to});
  }
  if (!fits) reject(flag, text, "a number of steps, or one with changes, as 940,310:902");
  result.first = *steps;
  return result;
}

std::string parse_sha256(std::string_view flag, const std::string& text) {
  constexpr std::size_t kDigits = 64;
  if (text.size() != kDigits || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    reject(flag, text, "64 hexadecimal digits");
  }
  return text;
}

data::Resize parse_resize(std::string_view flag, const std::string& text) {
  constexpr std::int64_t kMost = 65535;
  const std::string wanted = "a number of pixels (shorter side), or HxW, each from 1 to 65535";
  const std::vector<std::int64_t> sides = parse_list(flag, text, 'x', kMost, wanted);
  if (sides.size() == 1) return {static_cast<int>(sides[0])};
  if (sides.size() != 2) reject(flag, text, wanted);
  return {sides[0], sides[1]};
}

namespace {

// Numbers with commas between; none where one is none, or out of range.
std::optional<std::vector<double>> numbers_in(std::string_view text, double least, double most) {
  std::vector<double> numbers;
  for (const std::string& part : split_at(',', text)) {
    double number = 0;
    if (!parse(part, number) || !(number >= least && number <= most)) return {};
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

std::vector<std::string> split_at_commas(std::string_view text) {
  return split_at(',', text);
}

std::vector<double> parse_numbers(std::string_view flag, const std::string& text, double least, double most) {
  const auto numbers = numbers_in(text, least, most);
  if (!numbers) {
    reject(flag, text,
           fmt::format("numbers from {} to {}, with commas between if they are several", least, most));
  }
  return *numbers;
}

std::vector<std::pair<std::string, double>> parse_factors(std::string_view flag, const std::string& text) {
  std::vector<std::pair<std::string, double>> factors;
  if (text.empty()) return factors;
  for (const std::string& part : split_at_commas(text)) {
    const std::size_t sign = part.rfind('=');
    const auto factor = sign == std::string::npos || sign == 0
                            ? std::nullopt
                            : numbers_in(part.substr(sign + 1), 0, kMostReal);
    if (!factor || factor->size() != 1)
      reject(
          flag, text,
          fmt::format("PART=FACTOR, with commas between if they are several, each from 0 to {}", kMostReal));
    factors.emplace_back(part.substr(0, sign), factor->front());
  }
  return factors;
}

std::string to_text(const data::Resize& resize) {
  if (resize.height == 0) return "";
  return resize.width == 0 ? std::to_string(resize.height)
                           : fmt::format("{}x{}", resize.height, resize.width);
}

data::Normalization parse_normalization(std::string_view flag, const std::string& text) {
  if (text == "none") return {};
  // Of the pictures of ImageNet, as torchvision's weights ask for.
  if (text == "imagenet") return {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  constexpr double kMost = 1e6;
  const std::size_t bar = text.find('/');
  const auto mean = numbers_in(text.substr(0, bar), -kMost, kMost);
  const auto std =
      bar == std::string::npos ? std::nullopt : numbers_in(text.substr(bar + 1), 1 / kMost, kMost);
  if (!mean || !std || mean->size() != std->size()) {
    reject(flag, text, "none, imagenet, or as many means as deviations, e.g. 0.286/0.353");
  }
  return {*mean, *std};
}

std::string to_text(const data::Normalization& normalization) {
  for (const char* name : {"none", "imagenet"}) {
    if (normalization == parse_normalization("normalize", name)) return name;
  }
  const auto listed = [](const std::vector<double>& numbers) {
    std::vector<std::string> texts;
    for (const double number : numbers) texts.push_back(shortest(number));
    return joined(texts, ",");
  };
  return listed(normalization.mean) + "/" + listed(normalization.std);
}

Shape parse_input(std::string_view flag, const std::string& text) {
  constexpr std::int64_t kMost = 1 << 24;
  const std::string wanted = "NxCxHxW, four whole numbers from 1 to 16777216, e.g. 1x1x224x224";
  const std::vector<std::int64_t> extents = parse_list(flag, text, 'x', kMost, wanted);
  if (extents.size() != 4) reject(flag, text, wanted);
  return Shape(extents);
}

std::string parse_choice(std::string_view flag, const std::string& text,
                         const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), text) != names.end()) return text;
  std::string wanted = "one of " + joined(names, ", ");
  if (const std::string near = nearest(text, names); !near.empty()) {
    wanted += fmt::format(" (did you mean {}?)", near);
  }
  reject(flag, text, wanted);
}

}  // namespace resnet::settings
