// The bytes of a pickle, read from the first on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "io/pth/pickled_tensor.h"

namespace resnet::io {

class PickleBytes {
 public:
  explicit PickleBytes(std::string_view bytes) : left_(bytes) {}

  std::size_t left() const noexcept { return left_.size(); }

  // Each takes bytes off, and throws FormatError where there are none.
  std::string_view take(std::uint64_t count) {
    if (count > left_.size()) refuse_pickle("ends early");
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }
  unsigned char byte() { return static_cast<unsigned char>(take(1)[0]); }
  std::uint64_t number(std::size_t size) { return little_endian(take(size)); }  // of 8 bytes at most
  std::string_view line() {
    const std::size_t end = left_.find('\n');
    if (end == std::string_view::npos) refuse_pickle("ends early");
    const std::string_view text = take(end);
    take(1);
    return text;
  }

  static std::uint64_t little_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << 8 * i;
    return value;
  }

 private:
  std::string_view left_;
};

}  // namespace resnet::io
