// The implicit GEMM of forward pass and input gradient, im2col(x) * w: a strip of rows at a time, the weights
// packed once a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/machine.h"
#include "kernels/conv/direct/index_tables.h"
#include "kernels/matmul/matmul_simd.h"
#include "resnet/tensor.h"

namespace resnet::kernels::conv {

/// Products are of T, the result is stored as Out. With bf16 products a word is a pair of channels, or of
/// neighbours in a row. Results of bf16 stand in scratch as f32 until all chunks of their sums are through.
template <class T, class Out>
class PackedProduct {
 public:
  /// `row_pairs`: the source is in row pairs (repack.h), in a forward pass of bf16 products. `narrow`: panels
  /// are half as wide as the tile, for twice as many tasks.
  PackedProduct(const ConvGeometry& g, ConvPass pass, Isa isa, bool row_pairs, bool narrow = false);

  static constexpr bool kRounded = std::is_same_v<Out, BFloat16>;

  const GemmProblem& problem() const noexcept { return problem_; }  // in words
  std::int64_t columns() const noexcept { return columns_; }        // of a panel
  std::int64_t panels() const noexcept { return panels_; }          // of one convolution group
  const MatmulFunctions& functions() const noexcept { return f_; }
  /// The most columns of a chunk whose part of a panel stays in L1.
  std::int64_t chunk_columns() const noexcept;

  /// Weights and bias, packed into panels as wide as the tile in tasks of their own before any product;
  /// whole lines.
  std::int64_t packed_bytes() const noexcept;
  std::int64_t pack_tasks() const noexcept {
    return g_.groups * panels_ * static_cast<std::int64_t>(problem_.taps.size());
  }
  /// `bias` may be null.
  void pack(const float* w, const float* bias, std::byte* packed, std::int64_t task) const noexcept;

  struct Args {
    const Strip* strip = nullptr;
    std::int64_t images = 1;
    const void* source = nullptr;       // the whole of it, in words
    const std::byte* packed = nullptr;  // where pack() wrote
    std::int64_t origin = 0;            // of the strip in the source
    std::int64_t group = 0, panel = 0;
    bool streams = false;  // whether each part of the weights is prefetched while the one before is in use
    Out* out = nullptr;    // the strip's origin, at the panel's first column
    const Out* addend = nullptr;  // to be added, as out; if that is f32, the same memory. Else the bias is.
    float* sums = nullptr;        // working memory if kRounded: a full panel for each pixel of the strip
  };
  void multiply(const Args& args) const noexcept;

 private:
  std::int64_t panel_columns(std::int64_t panel) const noexcept;
  std::int64_t weights_at(std::int64_t group, std::int64_t panel) const noexcept {
    return (group * panels_ + panel) * packed_panel_;
  }
  std::int64_t bias_at(std::int64_t group, std::int64_t panel) const noexcept {
    return g_.groups * panels_ * packed_panel_ + (group * panels_ + panel) * columns_;
  }
  void round(const Args& args, std::int64_t columns) const noexcept;

  ConvGeometry g_;
  bool forward_, row_pairs_;
  const MatmulFunctions& f_;
  GemmProblem problem_;
  std::int64_t columns_;
  std::int64_t outputs_;  // of one convolution group
  std::int64_t panels_;
  std::int64_t packed_panel_;  // floats between panels
};

extern template class PackedProduct<float, float>;
extern template class PackedProduct<float, BFloat16>;
extern template class PackedProduct<BFloat16, float>;
extern template class PackedProduct<BFloat16, BFloat16>;

}  // namespace resnet::kernels::conv
