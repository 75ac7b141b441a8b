// The portable bitmaps, graymaps and pixmaps of Netpbm (P1 to P6), as Pillow reads them.
#include <array>
#include <cmath>
#include <optional>

#include "images/decoders.h"

namespace resnet::images {
namespace {

bool is_space(std::uint8_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool ppm_begins(Bytes file) {
  return file.size() >= 3 && file[0] == 'P' && file[1] >= '1' && file[1] <= '6' && is_space(file[2]);
}

// Numbers as text. A comment, from # to the end of its line, is not there at all.
class Tokens {
 public:
  Tokens(Bytes file, std::size_t at) : file_(file), at_(at) {}

  /// The next number, and one character behind it.
  std::int64_t number() {
    std::int64_t value = 0;
    int digits = 0;
    while (const auto c = next()) {
      if (is_space(*c)) {
        if (digits > 0) return value;
        continue;
      }
      if (*c < '0' || *c > '9') refuse(kPpm, "a number is expected at byte " + std::to_string(at_ - 1));
      constexpr int kMostDigits = 10;
      if (++digits > kMostDigits)
        refuse(kPpm, "a number of too many digits at byte " + std::to_string(at_ - 1));
      value = value * 10 + (*c - '0');
    }
    if (digits == 0) refuse_cut_off(kPpm);
    return value;
  }
  /// The next 0 or 1; there need be no space between them.
  bool bit() {
    while (const auto c = next()) {
      if (*c == '0' || *c == '1') return *c == '1';
      if (!is_space(*c)) refuse(kPpm, "a 0 or 1 is expected at byte " + std::to_string(at_ - 1));
    }
    refuse_cut_off(kPpm);
  }
  std::size_t at() const { return at_; }

 private:
  std::optional<std::uint8_t> next() {
    while (at_ < file_.size()) {
      const std::uint8_t c = file_[at_++];
      if (c != '#') return c;
      while (at_ < file_.size() && file_[at_] != '\n' && file_[at_] != '\r') ++at_;
      at_ += at_ < file_.size() ? 1 : 0;
    }
    return std::nullopt;
  }

  Bytes file_;
  std::size_t at_;
};

struct Start {
  Header header;
  std::int64_t most = 1;  // what is white
  std::size_t data = 0;   // where its numbers begin
};

Start start_of(Bytes file) {
  Tokens tokens(file, 3);
  Start start;
  start.header.width = tokens.number();
  start.header.height = tokens.number();
  if (file[1] != '1' && file[1] != '4') {
    start.most = tokens.number();
    if (start.most < 1 || start.most > 65535)
      refuse(kPpm, "its white is " + std::to_string(start.most) + ", not 1 to 65535");
  }
  start.data = tokens.at();
  return start;
}

Header ppm_header(Bytes file) {
  return start_of(file).header;
}

// A sample of 0 to most as a byte, rounded to even as Python does. Gray beyond 255 is scaled to 65,535
// first and then cut at 255, which is Pillow's way with 16 bits.
class Levels {
 public:
  Levels(std::int64_t most, bool gray) : most_(most) {
    const double white = gray && most > 255 ? 65535 : 255;
    for (std::int64_t i = 0; i <= most; ++i) {
      const double level = std::nearbyint(static_cast<double>(i) / static_cast<double>(most) * white);
      levels_.push_back(static_cast<std::uint8_t>(std::min(level, 255.0)));
    }
  }
  std::uint8_t operator()(std::int64_t sample) const {
    return levels_[static_cast<std::size_t>(std::min(sample, most_))];
  }

 private:
  std::int64_t most_;
  std::vector<std::uint8_t> levels_;
};

// A P1, P2 or P3 file.
template <class Take>
void read_text(Bytes file, const Start& start, bool color, Rows& rows, const Take& take) {
  Tokens tokens(file, start.data);
  for (std::int64_t y = 0; y < start.header.height; ++y) {
    std::uint8_t* row = rows.next();
    for (std::int64_t x = 0; x < start.header.width; ++x, row += 3) {
      row[0] = take(tokens);
      row[1] = color ? take(tokens) : row[0];
      row[2] = color ? take(tokens) : row[0];
    }
  }
}

Image ppm_decode(Bytes file, const Header& header, const Limits&) {
  const Start start = start_of(file);
  const char kind = static_cast<char>(file[1]);
  const bool color = kind == '3' || kind == '6';
  Rows rows(header);
  if (kind == '1') {
    read_text(file, start, false, rows,
              [](Tokens& t) { return t.bit() ? std::uint8_t{0} : std::uint8_t{255}; });
    return rows.take();
  }
  const Bytes data = file.subspan(std::min(start.data, file.size()));
  if (kind == '4') {
    const auto stride = static_cast<std::size_t>(header.width + 7) / 8;
    if (data.size() / stride < static_cast<std::size_t>(header.height)) refuse_cut_off(kPpm);
    for (std::int64_t y = 0; y < header.height; ++y) {
      std::uint8_t* row = rows.next();
      const Bytes bits = data.subspan(static_cast<std::size_t>(y) * stride, stride);
      for (std::int64_t x = 0; x < header.width; ++x) {
        const bool black = (bits[static_cast<std::size_t>(x / 8)] >> (7 - x % 8) & 1) != 0;
        std::fill_n(row + 3 * x, 3, black ? std::uint8_t{0} : std::uint8_t{255});
      }
    }
    return rows.take();
  }
  const Levels level(start.most, !color);
  if (kind == '2' || kind == '3') {
    read_text(file, start, color, rows, [&](Tokens& t) {
      const std::int64_t sample = t.number();
      if (sample > start.most)
        refuse(kPpm, std::to_string(sample) + " is more than its white, " + std::to_string(start.most));
      return level(sample);
    });
    return rows.take();
  }
  const std::size_t sample = start.most > 255 ? 2 : 1;
  const std::size_t stride = static_cast<std::size_t>(header.width) * (color ? 3 : 1) * sample;
  if (data.size() / stride < static_cast<std::size_t>(header.height)) refuse_cut_off(kPpm);
  for (std::int64_t y = 0; y < header.height; ++y) {
    std::uint8_t* row = rows.next();
    const Bytes in = data.subspan(static_cast<std::size_t>(y) * stride, stride);
    for (std::size_t i = 0; i < static_cast<std::size_t>(header.width) * 3; ++i) {
      const std::size_t at = (color ? i : i / 3) * sample;
      row[i] = level(sample == 1 ? in[at] : static_cast<std::int64_t>(big16(in, at)));
    }
  }
  return rows.take();
}

}  // namespace

const Decoder kPpm = {"PPM", ppm_begins, ppm_header, ppm_decode};

}  // namespace resnet::images
