// IEEE 754's binary16, of which every number is one of binary32: 1 sign, 5 exponent, 10 fraction bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace resnet::io {

/// The largest number that f16 has.
inline constexpr float kLargestHalf = 65504.0F;

/// Rounded to the nearest, ties to even, subnormals too; beyond 65,519 infinity; NaN stays NaN.
inline std::uint16_t half_of(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16U) & 0x8000U);
  const float magnitude = std::fabs(value);
  if (value != value) return sign | 0x7e00U;  // NOLINT(misc-redundant-expression): NaN
  if (magnitude >= 65520.0F) return sign | 0x7c00U;
  // A subnormal is a multiple of 2^-24; the sum with a number whose last bit counts that rounds as wanted.
  if (magnitude < 0x1p-14F)
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(magnitude + 0.5F) & 0x7ffU);
  const std::uint32_t rounded = (bits & 0x7fffffffU) + 0xfffU + ((bits >> 13U) & 1U);
  return sign | static_cast<std::uint16_t>((rounded - (112U << 23U)) >> 13U);
}

/// Exactly; NaN keeps its bits.
inline float float_of_half(std::uint16_t half) noexcept {
  const std::uint32_t sign = std::uint32_t{half} >> 15U << 31U, exponent = half >> 10U & 31U,
                      fraction = half & 1023U;
  if (exponent == 0) {  // zero and what is subnormal there
    constexpr float kLeast = 0x1p-24F;
    const float value = static_cast<float>(fraction) * kLeast;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  constexpr std::uint32_t kBias = 127 - 15, kSpecial = 255;
  return std::bit_cast<float>(sign | (exponent == 31 ? kSpecial : exponent + kBias) << 23U | fraction << 13U);
}

}  // namespace resnet::io
