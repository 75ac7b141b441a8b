#include "base/random.h"

#include <cmath>
#include <numbers>

namespace resnet {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  constexpr std::uint32_t kMultiplier0 = 0xD2511F53U;
  constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * counter[0];
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

std::array<std::uint32_t, 4> RandomStream::block(std::uint64_t index) const {
  const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32U); };
  return philox4x32({low(index), high(index), low(stream_), high(stream_)}, {low(seed_), high(seed_)});
}

double RandomStream::normal(std::uint64_t index) const {
  const double radius_word = (static_cast<double>(word(2 * index)) + 1.0) * 0x1p-32;  // (0, 1]
  const double angle_word = static_cast<double>(word(2 * index + 1)) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(radius_word)) * std::cos(2.0 * std::numbers::pi * angle_word);
}

std::uint64_t RandomStream::below(std::uint64_t index, std::uint64_t bound) const {
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t draw = (std::uint64_t{word(2 * index)} << 32U) | word(2 * index + 1);
  return static_cast<std::uint64_t>((static_cast<Wide>(draw) * bound) >> 64U);
}

}  // namespace resnet
