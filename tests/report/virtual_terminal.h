// A terminal that keeps what a person would see, and notes what a person would hate: lines that wrap,
// a cursor sent above the top, control characters it does not know.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace resnet::report {

class VirtualTerminal {
 public:
  VirtualTerminal(int width, int height)
      : width_(width), height_(height), rows_(static_cast<std::size_t>(height)) {}

  void feed(std::string_view text) {
    bytes += text.size();
    for (std::size_t at = 0; at < text.size();) {
      const auto c = static_cast<unsigned char>(text[at]);
      if (c == 0x1b) {
        at = escape(text, at);
      } else if (c < 0x20) {
        control(text[at++]);
      } else {
        const std::size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        print(std::string(text.substr(at, length)));
        at += length;
      }
    }
  }

  /// Another width; rows that are too long wrap anew, as in most terminals.
  void resize(int width) {
    std::vector<Row> rows;
    int y = 0;
    for (int old = 0; old < height_; ++old) {
      Row row = std::move(rows_[static_cast<std::size_t>(old)]);
      if (old == y_) y = static_cast<int>(rows.size());
      while (row.size() > static_cast<std::size_t>(width)) {
        rows.emplace_back(row.begin(), row.begin() + width);
        row.erase(row.begin(), row.begin() + width);
      }
      rows.push_back(std::move(row));
    }
    rows.resize(static_cast<std::size_t>(height_));  // what is below was empty
    rows_ = std::move(rows);
    width_ = width;
    y_ = y;
  }

  /// What has scrolled away and what is on the screen, without blanks at the ends of lines and empty
  /// lines at the end.
  std::string text() const {
    std::vector<std::string> lines = scrolled_;
    for (const Row& row : rows_) lines.push_back(to_text(row));
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }

  int cursor_x() const { return x_; }
  bool synchronised() const { return depth_ == 0; }

  int wraps = 0, clamped = 0, unknown = 0, colors = 0;
  std::size_t bytes = 0;

 private:
  using Row = std::vector<std::string>;

  static std::string to_text(const Row& row) {
    std::string line;
    for (const std::string& cell : row) line += cell.empty() ? " " : cell;
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }
  Row& row() { return rows_[static_cast<std::size_t>(y_)]; }

  void control(char c) {
    if (c == '\r') {
      x_ = 0;
    } else if (c == '\n') {
      x_ = 0;  // as the line discipline does
      line_feed();
    } else {
      ++unknown;
    }
  }

  void line_feed() {
    if (y_ + 1 < height_) {
      ++y_;
      return;
    }
    scrolled_.push_back(to_text(rows_.front()));
    rows_.erase(rows_.begin());
    rows_.emplace_back();
  }

  void print(std::string cell) {
    if (x_ == width_) {  // the cursor waits on the last cell until something more comes
      ++wraps;
      x_ = 0;
      line_feed();
    }
    Row& cells = row();
    if (cells.size() <= static_cast<std::size_t>(x_)) cells.resize(static_cast<std::size_t>(x_) + 1);
    cells[static_cast<std::size_t>(x_++)] = std::move(cell);
  }

  std::size_t escape(std::string_view text, std::size_t at) {
    const std::size_t end = text.find_first_of("ABCDEFGHJKfhlmsu", at + 2);
    if (text.substr(at, 2) != "\x1b[" || end == std::string_view::npos) {
      ++unknown;
      return at + 1;
    }
    const std::string parameters(text.substr(at + 2, end - at - 2));
    switch (text[end]) {
      case 'A': {
        const int up = parameters.empty() ? 1 : std::stoi(parameters);
        if (up > y_) ++clamped;
        y_ = up > y_ ? 0 : y_ - up;
        break;
      }
      case 'K':
        if (x_ == width_) ++wraps;  // would clear the last cell
        for (std::size_t x = static_cast<std::size_t>(x_); x < row().size(); ++x) row()[x] = " ";
        if (x_ == 0) row().clear();  // only then tmux forgets the cells
        break;
      case 'J':
        if (row().size() > static_cast<std::size_t>(x_)) row().resize(static_cast<std::size_t>(x_));
        for (int y = y_ + 1; y < height_; ++y) rows_[static_cast<std::size_t>(y)].clear();
        break;
      case 'm':
        ++colors;
        break;
      case 'h':
      case 'l':
        depth_ += text[end] == 'h' ? 1 : -1;
        if (parameters != "?2026") ++unknown;
        break;
      default:
        ++unknown;
    }
    return end + 1;
  }

  int width_, height_;
  std::vector<Row> rows_;
  std::vector<std::string> scrolled_;
  int x_ = 0, y_ = 0;
  int depth_ = 0;  // of synchronised output
};

}  // namespace resnet::report
