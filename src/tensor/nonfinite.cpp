#include "tensor/nonfinite.h"

#include <algorithm>
#include <cmath>

namespace resnet {
namespace {

// Those that are not finite have all bits of the exponent set.
template <class Word>
NonFiniteKind kind_of(const Word* words, std::int64_t count, Word exponent, Word mantissa) noexcept {
  constexpr std::int64_t kBlock = 4096;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, count);
    bool any = false;
    for (std::int64_t i = begin; i < end; ++i) any |= (words[i] & exponent) == exponent;
    if (!any) continue;
    const Word* const first =
        std::find_if(words + begin, words + end, [&](Word w) { return (w & exponent) == exponent; });
    return (*first & mantissa) == 0 ? NonFiniteKind::infinite : NonFiniteKind::nan;
  }
  return NonFiniteKind::none;
}

}  // namespace

NonFiniteKind nonfinite_in(const void* elements, DType dtype, std::int64_t count) noexcept {
  switch (dtype) {
    case DType::f32:
      return kind_of<std::uint32_t>(static_cast<const std::uint32_t*>(elements), count, 0x7f800000U,
                                    0x007fffffU);
    case DType::f64:
      return kind_of<std::uint64_t>(static_cast<const std::uint64_t*>(elements), count, 0x7ff0000000000000U,
                                    0x000fffffffffffffU);
    case DType::bf16:
      return kind_of<std::uint16_t>(static_cast<const std::uint16_t*>(elements), count, 0x7f80U, 0x007fU);
    case DType::i32:
    case DType::i64:
    case DType::u8:
      break;
  }
  return NonFiniteKind::none;
}

}  // namespace resnet
