#include "report/svg.h"

#include <fmt/core.h>

#include <algorithm>

namespace resnet::report {

std::string pixel(double value) {
  constexpr double kFar = 1e5;
  std::string text = fmt::format("{:.2f}", std::clamp(value, -kFar, kFar));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

}  // namespace resnet::report
