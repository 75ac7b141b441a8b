#include "io/stored_type.h"

#include <bit>
#include <cstring>

namespace resnet::io {
namespace {

// IEEE 754 binary16, of which every number is one of binary32.
float float_of_half(std::uint16_t half) noexcept {
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

template <class From, class To, class Convert>
void convert_all(std::span<const std::byte> bytes, std::byte* out, Convert convert) noexcept {
  for (std::size_t i = 0; i < bytes.size() / sizeof(From); ++i) {
    From from;
    std::memcpy(&from, bytes.data() + i * sizeof from, sizeof from);
    const To to = convert(from);
    std::memcpy(out + i * sizeof to, &to, sizeof to);
  }
}

}  // namespace

std::size_t size_of(StoredType type) noexcept {
  switch (type) {
    case StoredType::f64:
    case StoredType::i64:
      return 8;
    case StoredType::f32:
    case StoredType::i32:
      return 4;
    case StoredType::f16:
    case StoredType::bf16:
    case StoredType::i16:
      return 2;
    default:
      return 1;
  }
}

std::string_view name_of(StoredType type) noexcept {
  constexpr std::string_view kNames[] = {"float64", "float32", "float16", "bfloat16", "int64",
                                         "int32",   "int16",   "int8",    "uint8",    "bool"};
  return kNames[static_cast<std::size_t>(type)];
}

DType widened(StoredType type) noexcept {
  switch (type) {
    case StoredType::f64:
      return DType::f64;
    case StoredType::i64:
      return DType::i64;
    case StoredType::i32:
    case StoredType::i16:
    case StoredType::i8:
      return DType::i32;
    case StoredType::u8:
    case StoredType::boolean:
      return DType::u8;
    default:
      return DType::f32;
  }
}

bool is_widened(StoredType type) noexcept {
  return type == StoredType::f16 || type == StoredType::bf16 || type == StoredType::i16 ||
         type == StoredType::i8;
}

void widen(StoredType type, std::span<const std::byte> bytes, std::byte* out) noexcept {
  switch (type) {
    case StoredType::f16:
      return convert_all<std::uint16_t, float>(bytes, out, float_of_half);
    case StoredType::bf16:
      return convert_all<BFloat16, float>(bytes, out, [](BFloat16 x) { return static_cast<float>(x); });
    case StoredType::i16:
      return convert_all<std::int16_t, std::int32_t>(
          bytes, out, [](std::int16_t x) { return static_cast<std::int32_t>(x); });
    case StoredType::i8:
      return convert_all<std::int8_t, std::int32_t>(
          bytes, out, [](std::int8_t x) { return static_cast<std::int32_t>(x); });
    default:
      if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  }
}

}  // namespace resnet::io
