// Types that files store elements as, and what becomes of them in memory: the next wider one that tensors
// have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "resnet/tensor.h"

namespace resnet::io {

enum class StoredType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::size_t size_of(StoredType type) noexcept;
/// As PyTorch calls it: "float16", "bool".
std::string_view name_of(StoredType type) noexcept;
/// f16 and bf16 become f32, i16 and i8 i32, boolean u8, each without rounding; the others stay.
DType widened(StoredType type) noexcept;
/// Whether the elements in memory are those of the file, byte for byte.
bool is_widened(StoredType type) noexcept;

/// The elements that `bytes` holds, as widened(type), to `out`, which has room for them. Neither need be
/// aligned.
void widen(StoredType type, std::span<const std::byte> bytes, std::byte* out) noexcept;

}  // namespace resnet::io
