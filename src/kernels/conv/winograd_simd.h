// What the vector code of the Winograd convolutions does: the transforms of images and weights into
// points and back. The products between them are those of conv_simd.h.
#pragma once

#include <cstdint>

#include "base/machine.h"
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
/// whole vectors, strides count elements.
template <class T>
struct TilePoints {
  Tiles tiles;
  const T* image = nullptr;  // what lies outside is zero
  T* points = nullptr;       // of the run's first tile
  std::int64_t point_stride = 0;
  std::int64_t row_stride = 0;
  const T* zeros = nullptr;  // as many as channels
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
};

/// Weights [3][3][ci][co] to matrices [point][panel][in][columns] of words, as ConvFunctions::multiply
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

/// Sums [point][ci][co, padded] to the gradient of the weights [3][3][ci][co].
struct WeightResult {
  const float* points = nullptr;
  std::int64_t point_stride = 0, row_stride = 0;
  float* dw = nullptr;
  std::int64_t ci = 1, co = 1;
  std::int64_t begin = 0, end = 0;  // of ci
};

/// F(m x m, 3 x 3): m x m outputs from (m + 2) x (m + 2) products. Source: Lavin and Gray, arXiv
/// 1509.09308; the points are chosen for accuracy, see winograd.h. For the weight gradient, whose sums run
/// over tiles, rows of bf16 are of words: two tiles side by side, and an odd last one beside zeros.
template <class T>
struct WinogradFunctions {
  std::int64_t m = 0;
  void (*input)(const TilePoints<T>&) = nullptr;  // (m+2)^2 pixels of a tile to points
  void (*output)(const TileSums<T>&) = nullptr;   // points to m^2 pixels, + bias
  void (*weights)(const WeightTransform&) = nullptr;
  void (*summed_input)(const TilePoints<T>&) = nullptr;            // as input, for the weight gradient
  void (*summed_output_gradient)(const TilePoints<T>&) = nullptr;  // m^2 pixels of a tile to points
  void (*weight_result)(const WeightResult&) = nullptr;

  std::int64_t points() const noexcept { return (m + 2) * (m + 2); }
};

/// m: 3 or 4.
template <class T>
const WinogradFunctions<T>& winograd_functions(Isa isa, std::int64_t m);
template <>
const WinogradFunctions<float>& winograd_functions<float>(Isa isa, std::int64_t m);
template <>
const WinogradFunctions<BFloat16>& winograd_functions<BFloat16>(Isa isa, std::int64_t m);

}  // namespace resnet::kernels::conv
