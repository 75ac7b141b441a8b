// The page that people see.
#pragma once

#include <string>

namespace resnet::serve {

/// HTML that needs nothing else, and its Content-Security-Policy, which allows its own script and style
/// alone.
struct Page {
  std::string html, policy;
};
Page page_of(const std::string& title);

}  // namespace resnet::serve
