// What the vector code of the Winograd convolutions does: the transforms of images and weights into
// points and back. The products between them are those of conv_simd.h.
#pragma once

#include <cstdint>

#include "base/machine.h"

namespace resnet::kernels::conv {

/// A run of tiles of an image tensor [n][h][w][c], numbered [n][down][across].
struct Tiles {
  std::int64_t h = 1, w = 1, c = 1;   // of the tensor
  std::int64_t down = 1, across = 1;  // tiles of an image
  std::int64_t top = 0, left = 0;     // of the first tile's first pixel
  std::int64_t begin = 0, count = 0;  // of the run
};

/// The tiles of an image tensor beside the matrices [point][tile][channel] of their transforms, whose
/// rows are padded to whole vectors.
struct TileTransform {
  Tiles tiles;
  const float* image = nullptr;   // read; what lies outside is zero
  float* result = nullptr;        // written instead, by output()
  float* points = nullptr;        // of the run's first tile
  std::int64_t point_stride = 0;  // floats
  std::int64_t row_stride = 0;    // floats
  const float* zeros = nullptr;   // as many as channels
  const float* bias = nullptr;    // of output(); may be null
};

/// Weights [3][3][ci][co] to matrices [point][panel][in][columns], as ConvFunctions::multiply reads them.
struct WeightTransform {
  const float* w = nullptr;
  std::int64_t ci = 1, co = 1;
  bool mirrored = false;  // for the input gradient: in = co, out = ci, taps turned by 180 degrees
  float* points = nullptr;
  std::int64_t point_stride = 0;
  std::int64_t panel = 0, panel_columns = 0;  // which, and of a full one
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
/// 1509.09308; the points are chosen for accuracy, see winograd.h.
struct WinogradFunctions {
  std::int64_t m = 0;
  void (*input)(const TileTransform&) = nullptr;            // (m+2)^2 pixels of a tile to points
  void (*output_gradient)(const TileTransform&) = nullptr;  // m^2 pixels of a tile to points
  void (*output)(const TileTransform&) = nullptr;           // points to m^2 pixels, + bias
  void (*weights)(const WeightTransform&) = nullptr;
  void (*weight_result)(const WeightResult&) = nullptr;

  std::int64_t points() const noexcept { return (m + 2) * (m + 2); }
};

/// m: 3 or 4.
const WinogradFunctions& winograd_functions(Isa isa, std::int64_t m);

}  // namespace resnet::kernels::conv
