// Bytes as a sequence of choices: what a fuzzer mutates, and what a test case repeats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace resnet::fuzz {

/// Past its end every choice is 0, so that short inputs make small cases.
class Choices {
 public:
  explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint8_t byte() {
    if (at_ == bytes_.size()) return 0;
    return bytes_[at_++];
  }
  std::uint64_t word() {
    std::uint64_t result = 0;
    for (int i = 0; i < 8; ++i) result = result << 8U | byte();
    return result;
  }
  /// From 0 to n - 1.
  std::size_t below(std::size_t n) { return n < 256 ? byte() % n : word() % n; }
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(below(static_cast<std::size_t>(most - least + 1)));
  }
  bool one_in(std::size_t n) { return below(n) == n - 1; }
  template <class T>
  const T& of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;
};

}  // namespace resnet::fuzz
