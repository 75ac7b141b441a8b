#include "report/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

namespace resnet {

namespace report {

namespace {

/// The size to use: the terminal's own, or what the variable asks for if that is less. The variable
/// cannot widen: it may be left over from a larger window, and too wide a line would wrap.
int size_from(int own, const char* variable, int otherwise) {
  int wanted = 0;
  if (variable != nullptr) {
    const std::string_view text = variable;
    if (std::from_chars(text.data(), text.data() + text.size(), wanted).ec != std::errc{}) wanted = 0;
  }
  constexpr int kMost = 1000;  // cells; no screen has more
  if (own > 0) return std::min(wanted > 0 ? std::min(own, wanted) : own, kMost);
  return wanted > 0 ? std::min(wanted, kMost) : otherwise;
}

bool says_utf8(std::string_view locale) {
  std::string letters;
  for (const char c : locale) {
    if (c != '-') letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters.find("utf8") != std::string::npos;
}

}  // namespace

Terminal describe(bool is_terminal, int columns, int rows,
                  const std::function<const char*(const char*)>& variable) {
  const auto text = [&](const char* name) {
    const char* value = variable(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  Terminal terminal;
  const std::string_view term = text("TERM");
  terminal.interactive = is_terminal && !term.empty() && term != "dumb";
  terminal.width = size_from(columns, variable("COLUMNS"), 80);
  terminal.height = size_from(rows, variable("LINES"), 24);
  if (terminal.interactive && text("NO_COLOR").empty()) {
    const bool many = term.find("256color") != std::string_view::npos || !text("COLORTERM").empty();
    terminal.colors = many ? 256 : 16;
  }
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {  // the first that is set decides, as in POSIX
    if (const std::string_view locale = text(name); !locale.empty()) {
      terminal.utf8 = says_utf8(locale);
      break;
    }
  }
  return terminal;
}

}  // namespace report

Terminal terminal_of(int fd) {
  winsize size{};
  const bool is_terminal = isatty(fd) == 1;
  if (!is_terminal || ioctl(fd, TIOCGWINSZ, &size) != 0) size = {};
  return report::describe(is_terminal, size.ws_col, size.ws_row,
                          [](const char* name) { return std::getenv(name); });
}

}  // namespace resnet
