// The host's side of device/kernels/lines.h: a table whose lines one launch does, each with blocks of its
// own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace resnet::gpu {

template <class Line>
class Lines {
 public:
  static_assert(std::is_trivially_copyable_v<Line>);
  void add(const Line& line, std::int64_t blocks) {
    lines_.push_back(line);
    first_block_.push_back(first_block_.back() + static_cast<std::int32_t>(blocks));
  }
  std::int32_t count() const { return static_cast<std::int32_t>(lines_.size()); }
  std::int64_t blocks() const { return first_block_.back(); }
  static std::int64_t bytes_of(std::size_t count) {
    return static_cast<std::int64_t>(count * sizeof(Line) + (count + 1) * sizeof(std::int32_t));
  }
  std::int64_t bytes() const { return bytes_of(lines_.size()); }
  void write(std::byte* to) const {
    std::memcpy(to, lines_.data(), of_lines());
    std::memcpy(to + of_lines(), first_block_.data(), first_block_.size() * sizeof(std::int32_t));
  }
  /// The arguments {lines, first_block, count} of a launch, for a table that stands there on the device.
  template <class Args>
  Args args(const std::byte* on_device) const {
    return {reinterpret_cast<const Line*>(on_device),
            reinterpret_cast<const std::int32_t*>(on_device + of_lines()), count()};
  }

 private:
  std::size_t of_lines() const { return lines_.size() * sizeof(Line); }

  std::vector<Line> lines_;
  std::vector<std::int32_t> first_block_ = {0};
};

}  // namespace resnet::gpu
