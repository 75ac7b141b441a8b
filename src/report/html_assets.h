// What a page is made of, from src/report/html/: made text of C++ when the library is built
// (cmake/embed.cmake).
#pragma once

#include <string_view>

namespace resnet::report {

extern const std::string_view kPageHtml;    // page.html
extern const std::string_view kPageStyle;   // page.css
extern const std::string_view kPageScript;  // the scripts, in their order

}  // namespace resnet::report
