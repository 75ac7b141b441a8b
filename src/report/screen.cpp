// The painter. A frame starts with the cursor on the last line of the frame before, in column 0
// (where a ^C that the terminal echoes is painted over by the next frame and cannot wrap).
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "base/clock.h"
#include "report/text.h"
#include "resnet/report.h"

namespace resnet {

namespace {

constexpr double kFrameSeconds = 0.1;

// Synchronised output: terminals that know it show the frame at once, the others ignore it.
constexpr std::string_view kBegin = "\x1b[?2026h", kEnd = "\x1b[?2026l";
constexpr std::string_view kClearRight = "\x1b[K";
// From column 0 of the top row tmux takes ED for a whole cleared screen and moves the old one into the
// scrollback, where it would be seen twice; so clear from column 1.
constexpr std::string_view kClearBelow = " \x1b[J\r";

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // somebody has left the terminal so
      pollfd waiting{fd, POLLOUT, 0};
      if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) return false;
      continue;
    }
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

/// Rows that `lines` take on a terminal that has become `width` wide and wraps what was written
/// before, as most do.
int rows_at(std::span<const std::string> lines, int width) {
  int rows = 0;
  for (const std::string& line : lines) rows += std::max(1, (report::cells(line) + width - 1) / width);
  return rows;
}

/// A line, on a row that has held up to `before` cells. What was longer is cleared first and from column 0:
/// tmux counts cells that were cleared behind a text as part of it, and wraps them when the terminal becomes
/// narrower.
void put(std::string& frame, const std::string& line, int before) {
  if (report::cells(line) < before) frame += kClearRight;
  frame += line;
}

}  // namespace

struct Screen::Impl {
  Impl(Write w, Look l, Clock c) : write(std::move(w)), look(std::move(l)), clock(std::move(c)) {}

  void paint(std::span<const std::string> above);
  std::vector<std::string> render(const Terminal& terminal) const;
  Panel& panel(Slot slot) { return panels[static_cast<std::size_t>(slot)]; }

  std::mutex mutex;
  Write write;
  Look look;
  Clock clock;
  bool failed = false;
  std::array<Panel, 2> panels;
  std::vector<std::string> painted;  // lines of the frame on the screen; the cursor is on the last
  int painted_width = 0, painted_height = 0;
  double painted_at = -1e9;
};

Screen::Screen(Write write, Look look, Clock clock)
    : impl_(std::make_unique<Impl>(std::move(write), std::move(look),
                                   clock ? std::move(clock) : Clock(steady_seconds))) {}

Screen::~Screen() {
  impl_->panels = {};
  try {
    if (!impl_->painted.empty()) impl_->paint({});
  } catch (const std::bad_alloc&) {  // then what is painted stays
  }
}

std::shared_ptr<Screen> Screen::of(int fd) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<Screen>> screens;
  const std::lock_guard lock(mutex);
  std::shared_ptr<Screen> screen = screens[fd].lock();
  if (!screen) {
    screen = std::make_shared<Screen>([fd](std::string_view text) { return write_all(fd, text); },
                                      [fd] { return terminal_of(fd); });
    screens[fd] = screen;
  }
  return screen;
}

Terminal Screen::terminal() const {
  return impl_->look();
}

double Screen::now() const {
  return impl_->clock();
}

void Screen::show(Slot slot, Panel panel) {
  const std::lock_guard lock(impl_->mutex);
  impl_->panel(slot) = std::move(panel);
  impl_->paint({});
}

void Screen::keep(Slot slot) {
  const std::lock_guard lock(impl_->mutex);
  const Panel panel = std::exchange(impl_->panel(slot), nullptr);
  if (!panel) return;
  const Terminal terminal = impl_->look();
  if (!terminal.interactive) return;
  std::vector<std::string> lines = panel(terminal);
  for (std::string& line : lines) line = report::clip(line, terminal.width);
  impl_->paint(lines);
}

void Screen::remove(Slot slot) {
  const std::lock_guard lock(impl_->mutex);
  impl_->panel(slot) = nullptr;
  impl_->paint({});
}

void Screen::print_above(std::string_view line) {
  const std::lock_guard lock(impl_->mutex);
  const std::vector<std::string> lines{std::string(line)};
  impl_->paint(lines);
}

void Screen::refresh(bool at_once) {
  const std::lock_guard lock(impl_->mutex);
  if (at_once || impl_->clock() - impl_->painted_at >= kFrameSeconds) impl_->paint({});
}

std::vector<std::string> Screen::Impl::render(const Terminal& terminal) const {
  std::vector<std::string> lines;
  for (const Panel& panel : panels) {
    if (!panel) continue;
    for (std::string& line : panel(terminal)) {
      if (report::cells(line) > terminal.width) line = report::clip(line, terminal.width);
      lines.push_back(std::move(line));
    }
  }
  // The cursor cannot go back to lines that have left the screen at the top.
  const auto most = static_cast<std::size_t>(std::max(1, terminal.height - 1));
  if (lines.size() > most) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(most));
  return lines;
}

void Screen::Impl::paint(std::span<const std::string> above) {
  if (failed) return;
  const Terminal terminal = look();
  painted_at = clock();
  std::string frame;
  std::vector<std::string> lines;
  if (terminal.interactive) lines = render(terminal);
  if (!terminal.interactive || (painted.empty() && lines.empty())) {
    for (const std::string& line : above) frame += line + "\n";
    if (!frame.empty()) failed = !write(frame);
    return;
  }
  const int width = std::max(1, terminal.width);

  // Everything is painted anew on a terminal of another size or below new lines; otherwise what stands
  // above the first changed line stays untouched.
  const bool resized = width != painted_width || terminal.height != painted_height;
  const bool anew = resized || !above.empty();
  std::size_t first = 0;
  if (!anew) {
    while (first < lines.size() && first < painted.size() && lines[first] == painted[first]) ++first;
    if (first == lines.size() && first == painted.size()) return;
  }

  int up = 0;  // from the last painted line to where this frame begins
  if (!painted.empty()) {
    const std::size_t last = painted.size() - 1;
    first = std::min({first, last, lines.empty() ? std::size_t{0} : lines.size() - 1});
    up = rows_at(std::span(painted).subspan(first, last - first), width);
  } else {
    first = 0;
  }
  frame += kBegin;
  frame += "\r";
  if (up > 0) frame += fmt::format("\x1b[{}A", up);
  if (resized) frame += kClearBelow;
  for (const std::string& line : above) {
    if (report::cells(line) > width) frame += kClearBelow;  // it takes rows that the old frame stands on
    put(frame, line, width);
    frame += "\r\n";
  }
  for (std::size_t i = first; i < lines.size(); ++i) {
    const bool known = !anew && i < painted.size();
    if (!known || lines[i] != painted[i]) put(frame, lines[i], known ? report::cells(painted[i]) : width);
    frame += i + 1 < lines.size() ? "\r\n" : "\r";
  }
  if (lines.empty()) {
    frame += kClearBelow;
  } else if (static_cast<std::size_t>(rows_at(above, width)) + lines.size() < painted.size()) {
    // Lines of the old frame stand below the new one.
    frame += "\r\n";
    frame += kClearBelow;
    frame += "\x1b[1A";
  }
  frame += kEnd;
  painted = std::move(lines);
  painted_width = width;
  painted_height = terminal.height;
  failed = !write(frame);
}

}  // namespace resnet
