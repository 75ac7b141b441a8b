// TensorBoard's event files: records of protocol buffers (tensorflow/core/lib/io/record_writer.h and
// core/util/event.proto). Of those, five small messages are written here, none is read: thirty lines in place
// of a code generator and a library.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace resnet::report {

/// CRC-32C (Castagnoli; RFC 3720, B.4).
std::uint32_t crc32c(std::string_view bytes);

/// A record: its length, and behind that and behind the bytes a masked checksum each.
std::string record_of(std::string_view bytes);

/// Events at a time (seconds since 1970) and a step of the run, each as a record.
struct EventTime {
  double seconds = 0;
  std::int64_t step = 0;
};
/// The first record of a file.
std::string version_event(double seconds);
/// A run begins with this step, or goes on with it: what has been said of it and of later ones is void.
std::string start_event(const EventTime& at);
std::string scalars_event(const EventTime& at, std::span<const std::pair<std::string, double>> scalars);
/// A PNG file.
std::string image_event(const EventTime& at, std::string_view tag, std::int64_t height, std::int64_t width,
                        std::int64_t channels, std::string_view png);
/// Markdown.
std::string text_event(const EventTime& at, std::string_view tag, std::string_view text);

}  // namespace resnet::report
