#include "io/stored_type.h"

#include <cstring>

#include "io/half.h"

namespace resnet::io {
namespace {

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
  constexpr std::string_view kOfTypes[] = {"float64", "float32", "float16", "bfloat16", "int64",
                                           "int32",   "int16",   "int8",    "uint8",    "bool"};
  return kOfTypes[static_cast<std::size_t>(type)];
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
