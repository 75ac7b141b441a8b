// Input repacking before the GEMM.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/conv/direct/index_tables.h"
#include "kernels/matmul/matmul_simd.h"
#include "resnet/tensor.h"

namespace resnet::kernels::conv {

/// Whether a forward pass can multiply pairs of neighbouring numbers of a row, of whatever channels: then
/// pairs begin where pixels do that a kernel begins at. They serve where channels make no pairs, as in
/// images. A row of the kernel has an odd number of numbers, as of an even one the padded row might end in
/// one pair too many.
bool pairs_rows(const ConvGeometry& g) noexcept;

/// That pass as one of two channels, on rows with their padding and an even number of numbers: w, kw and sw
/// count pairs. The last pair of a row of the kernel has one number only. Needs pairs_rows(g).
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

/// The input in words, repacked in tasks of their own before any product.
class RepackedInput {
 public:
  enum class Form : std::uint8_t {
    stored,     // nothing is made: numbers are words, or pairs of channels are
    widened,    // of bf16, as f32
    row_pairs,  // in_row_pairs()
  };

  /// `stored`: f32 or bf16.
  RepackedInput(const ConvGeometry& g, ConvPass pass, Form form, DType stored) noexcept;

  std::int64_t bytes() const noexcept;
  std::int64_t tasks() const noexcept { return tasks_; }
  void repack(const void* source, std::byte* repacked, std::int64_t task) const noexcept;
  const void* of(const void* source, const std::byte* prepared) const noexcept {
    return form_ == Form::stored ? source : prepared;
  }
  Form form() const noexcept { return form_; }

 private:
  void widen_rows(const BFloat16* from, float* to, std::int64_t begin, std::int64_t end) const noexcept;
  template <class X>
  void pair_rows(const X* from, BFloat16* to, std::int64_t begin, std::int64_t end) const noexcept;

  ConvGeometry g_;
  Form form_;
  DType stored_;
  std::int64_t rows_;
  std::int64_t row_length_;  // numbers
  std::int64_t tasks_ = 0;
};

}  // namespace resnet::kernels::conv
