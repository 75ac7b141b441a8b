#include "report/event_file.h"

#include <array>
#include <bit>

namespace resnet::report {
namespace {

constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    table.at(byte) = crc;
  }
  return table;
}();

template <class Number>
std::string little_endian(Number number) {
  static_assert(std::endian::native == std::endian::little);
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

// A checksum of what holds checksums itself would be weak: TensorFlow rotates it and adds a constant.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

std::string varint(std::uint64_t number) {
  std::string result;
  for (; number >= 0x80; number >>= 7U) result += static_cast<char>(number | 0x80U);
  return result + static_cast<char>(number);
}

// A protocol buffer's message, field by field, in its wire format.
class Message {
 public:
  Message& whole(int field, std::int64_t value) {
    bytes_ += key(field, 0) + varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& f64(int field, double value) {
    bytes_ += key(field, 1) + little_endian(value);
    return *this;
  }
  Message& f32(int field, double value) {
    bytes_ += key(field, 5) + little_endian(static_cast<float>(value));
    return *this;
  }
  Message& text(int field, std::string_view value) {
    bytes_ += key(field, 2) + varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  static std::string key(int field, unsigned wire_type) {
    return varint(static_cast<std::uint64_t>(field) << 3U | wire_type);
  }
  std::string bytes_;
};

Message event_at(const EventTime& at) {
  return Message().f64(1, at.seconds).whole(2, at.step);
}

std::string summary_event(const EventTime& at, const Message& summary) {
  return record_of(event_at(at).message(5, summary).bytes());
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (const char byte : bytes)
    crc = crc >> 8U ^ kCrcTable.at((crc ^ static_cast<unsigned char>(byte)) & 0xffU);
  return ~crc;
}

std::string record_of(std::string_view bytes) {
  const std::string length = little_endian(static_cast<std::uint64_t>(bytes.size()));
  std::string record = length + little_endian(masked_crc(length));
  record += bytes;
  return record + little_endian(masked_crc(bytes));
}

std::string version_event(double seconds) {
  return record_of(Message().f64(1, seconds).text(3, "brain.Event:2").bytes());
}

std::string start_event(const EventTime& at) {
  constexpr int kStart = 1;  // SessionLog::START
  return record_of(event_at(at).message(7, Message().whole(1, kStart)).bytes());
}

std::string scalars_event(const EventTime& at, std::span<const std::pair<std::string, double>> scalars) {
  Message summary;
  for (const auto& [tag, value] : scalars) summary.message(1, Message().text(1, tag).f32(2, value));
  return summary_event(at, summary);
}

std::string image_event(const EventTime& at, std::string_view tag, std::int64_t height, std::int64_t width,
                        std::int64_t channels, std::string_view png) {
  const Message image = Message().whole(1, height).whole(2, width).whole(3, channels).text(4, png);
  return summary_event(at, Message().message(1, Message().text(1, tag).message(4, image)));
}

std::string text_event(const EventTime& at, std::string_view tag, std::string_view text) {
  constexpr int kString = 7;  // DT_STRING
  const Message shape = Message().message(2, Message().whole(1, 1));
  const Message tensor = Message().whole(1, kString).message(2, shape).text(8, text);
  const Message metadata = Message().message(1, Message().text(1, "text"));
  return summary_event(at,
                       Message().message(1, Message().text(1, tag).message(8, tensor).message(9, metadata)));
}

}  // namespace resnet::report
