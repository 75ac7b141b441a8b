// Sources that the products of a pass do not read as they are stored.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/conv/conv_simd.h"
#include "kernels/conv/patches.h"
#include "resnet/tensor.h"

namespace resnet::kernels::conv {

/// Whether a forward pass can multiply pairs of neighbouring numbers of a row, of whatever channels: then
/// pairs begin where pixels do that a kernel begins at. They serve where channels make no pairs, as in
/// images.
bool pairs_rows(const ConvGeometry& g) noexcept;

/// That pass as one of two channels, on rows with their padding and an even number of numbers. The last pair
/// of a row of the kernel has one number only.
ConvGeometry in_row_pairs(ConvGeometry g) noexcept;

/// A row of pixels with its padding, all zeros if `row` is null, in whole words of T; returns their end.
template <class T, class X>
T* store_padded_row(const ConvGeometry& g, const X* row, T* to) noexcept {
  const std::int64_t line = g.w * g.ci, margin = g.pw * g.ci;
  const std::int64_t words = ceil_div(line + 2 * margin, kWord<T>);
  T* const end = to + words * kWord<T>;
  if (row == nullptr) {
    std::fill(to, end, T(0.0F));
    return end;
  }
  to = std::fill_n(to, margin, T(0.0F));
  if constexpr (std::is_same_v<X, T>) {
    std::copy_n(row, line, to);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    round_to_bf16(row, nullptr, to, line);
  } else {
    for (std::int64_t i = 0; i < line; ++i) to[i] = static_cast<float>(row[i]);
  }
  std::fill(to + line, end, T(0.0F));
  return end;
}

/// A source in words, made in tasks of their own before any product.
class PreparedSource {
 public:
  enum class Form : std::uint8_t {
    stored,     // nothing is made: numbers are words, or pairs of channels are
    widened,    // of bf16, as f32
    row_pairs,  // in_row_pairs()
  };

  /// `stored`: f32 or bf16.
  PreparedSource(const ConvGeometry& g, ConvPass pass, Form form, DType stored) noexcept;

  std::int64_t bytes() const noexcept;
  std::int64_t tasks() const noexcept;
  void prepare(const void* source, std::byte* prepared, std::int64_t task) const noexcept;
  const void* of(const void* source, const std::byte* prepared) const noexcept {
    return form_ == Form::stored ? source : prepared;
  }
  Form form() const noexcept { return form_; }

 private:
  template <class X>
  void pair_rows(const X* from, BFloat16* to, std::int64_t task) const noexcept;

  ConvGeometry g_;
  Form form_;
  DType stored_;
  std::int64_t rows_, row_;  // numbers of a row
};

}  // namespace resnet::kernels::conv
