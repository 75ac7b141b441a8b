// What the vector code of the Winograd convolutions does: the transforms of images and weights into
// points and back. The products between them are those of matmul/matmul_simd.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/machine.h"
#include "kernels/conv/norm_stats/norm_stats.h"
#include "resnet/tensor.h"

namespace resnet::kernels::conv {

/// A run of tiles of an image tensor [n][h][w][c], numbered [n][down][across].
struct Tiles {
  std::int64_t h = 1, w = 1, c = 1;   // of the tensor
  std::int64_t down = 1, across = 1;  // tiles of an image
  std::int64_t top = 0, left = 0;     // of the first tile's first pixel
  std::int64_t begin = 0, count = 0;  // of the run
};

/// Tiles of an image tensor to the matrices [point][tile][channel] of their transforms. Rows are padded to
/// whole vectors, strides count elements. With coefficients [3][c] (norm.h) the image is what a batch norm
/// reads, and max((image - mean) * scale + offset, floor) is transformed.
template <class T>
struct TilePoints {
  Tiles tiles;
  const T* image = nullptr;  // what lies outside is zero, behind the norm
  T* points = nullptr;       // of the run's first tile
  std::int64_t point_stride = 0;
  std::int64_t row_stride = 0;
  const T* zeros = nullptr;  // as many as channels
  const float* table = nullptr;
  float floor = 0;
};

/// The same of dy = image * scale_dz + ((x - mean) * scale_x + offset), the gradient of a batch norm by its
/// coefficients [4][c]. The tiles must not overlap.
template <class T>
struct GradientPoints {
  TilePoints<T> dz;
  const T* x = nullptr;
  const float* table = nullptr;
  T* dy = nullptr;  // written too; perhaps the memory of dz or x
};

/// Sums of products [point][tile][channel] back to the tiles of an image tensor.
template <class T>
struct TileSums {
  Tiles tiles;
  T* image = nullptr;
  const float* points = nullptr;  // of the run's first tile
  std::int64_t point_stride = 0;
  std::int64_t row_stride = 0;
  const float* bias = nullptr;  // may be null
  const T* addend = nullptr;    // of the image's shape, perhaps the image itself; may be null
  StatsArgs<T> stats = {};
};

/// Weights [3][3][ci][co] to matrices [matrix][panel][in][columns] of words, as MatmulFunctions::multiply
/// reads them.
struct WeightTransform {
  const float* w = nullptr;
  std::int64_t ci = 1, co = 1;
  bool mirrored = false;  // for the input gradient: in = co, out = ci, taps turned by 180 degrees
  float* points = nullptr;
  std::int64_t point_stride = 0;              // words
  std::int64_t panel = 0, panel_columns = 0;  // which, and of a full one
  std::int64_t panel_words = 0;               // of a full one
  std::int64_t begin = 0, end = 0;            // of `in`
};

/// Sums [matrix][ci][co, padded] to the gradient of the weights [3][3][ci][co].
struct WeightResult {
  const float* points = nullptr;
  std::int64_t point_stride = 0, row_stride = 0;
  float* dw = nullptr;
  std::int64_t ci = 1, co = 1;
  std::int64_t begin = 0, end = 0;  // of ci
};

/// How the maps of a 3x3 convolution are cut and transformed, by axis.
///   f3, f4, f6
///            stride 1, m outputs from m + 2 points, each with its own weights. Source: Lavin and Gray,
///            arXiv 1509.09308; the points are chosen for accuracy, see winograd.h. f6 for gradients in f32.
///   parity   stride 2: three outputs meet their first and third tap in the four even pixels of seven, which
///            is F(3, 2) at 0, 1, -1 and infinity, and the second in the three odd ones, whose products all
///            have the same weights. Seven points of five weights, and but for halved weights additions only.
///   even_gradient, odd_gradient
///            its input gradient: from four outputs the three even and the three odd pixels that they meet,
///            beginning with an even or an odd one, with the weights turned.
enum class Cut3x3 : std::uint8_t { f3, f4, f6, parity, even_gradient, odd_gradient };

/// Tiles to points. For the weight gradient, whose sums run over tiles, rows of bf16 are of words: two tiles
/// side by side, and an odd last one beside zeros.
template <class T>
struct PointFunctions {
  void (*input)(const TilePoints<T>&) = nullptr;                   // pixels of a tile to points
  void (*summed_input)(const TilePoints<T>&) = nullptr;            // as input, for the weight gradient
  void (*summed_output_gradient)(const TilePoints<T>&) = nullptr;  // pixels of dy to points
  void (*summed_norm_gradient)(const GradientPoints<T>&) = nullptr;
};

/// The other transforms.
template <class T>
struct WinogradFunctions {
  std::int64_t axis_points = 0, axis_matrices = 0;
  std::int64_t output_step = 0;                       // pixels between tiles of the result
  void (*output)(const TileSums<T>&) = nullptr;       // points to pixels, + bias, + addend
  void (*weights)(const WeightTransform&) = nullptr;  // to matrices
  void (*weight_result)(const WeightResult&) = nullptr;

  std::int64_t points() const noexcept { return axis_points * axis_points; }
  std::int64_t matrices() const noexcept { return axis_matrices * axis_matrices; }
  /// The weights of a point: beyond the last matrix of an axis all have that one.
  std::int64_t matrix(std::int64_t point) const noexcept {
    return std::min(point / axis_points, axis_matrices - 1) * axis_matrices +
           std::min(point % axis_points, axis_matrices - 1);
  }
};

template <class T>
const PointFunctions<T>& point_functions(Isa isa, Cut3x3 cut);
template <>
const PointFunctions<float>& point_functions<float>(Isa isa, Cut3x3 cut);
template <>
const PointFunctions<BFloat16>& point_functions<BFloat16>(Isa isa, Cut3x3 cut);

template <class T>
const WinogradFunctions<T>& winograd_functions(Isa isa, Cut3x3 cut);
template <>
const WinogradFunctions<float>& winograd_functions<float>(Isa isa, Cut3x3 cut);
template <>
const WinogradFunctions<BFloat16>& winograd_functions<BFloat16>(Isa isa, Cut3x3 cut);

}  // namespace resnet::kernels::conv
