// Pooling in double on [N,C,H,W], one window after the other.
#include <algorithm>
#include <cmath>

#include "kernels/pool/pool.h"

namespace resnet::kernels {
namespace {

/// Calls visit(plane, output, row0, column0) for every window: `plane` numbers (image, channel), `output`
/// the value in y; the window's first pixel may lie in the padding.
template <class Visit>
void for_windows(const PoolGeometry& g, const Visit& visit) {
  std::int64_t output = 0;
  for (std::int64_t plane = 0; plane < g.n * g.c; ++plane) {
    for (std::int64_t oh = 0; oh < g.ho(); ++oh) {
      for (std::int64_t ow = 0; ow < g.wo(); ++ow) visit(plane, output++, oh * g.sh - g.ph, ow * g.sw - g.pw);
    }
  }
}

/// Calls visit(tap, i) for every pixel of a window that lies inside the map: `tap` is its place in the
/// window, row * kw + column, `i` its place in x.
template <class Visit>
void for_pixels(const PoolGeometry& g, std::int64_t plane, std::int64_t row0, std::int64_t column0,
                const Visit& visit) {
  for (std::int64_t row = std::max<std::int64_t>(0, row0); row < std::min(g.h, row0 + g.kh); ++row) {
    for (std::int64_t column = std::max<std::int64_t>(0, column0); column < std::min(g.w, column0 + g.kw);
         ++column)
      visit((row - row0) * g.kw + column - column0, (plane * g.h + row) * g.w + column);
  }
}

double divisor(const PoolGeometry& g, std::int64_t plane, std::int64_t row0, std::int64_t column0) {
  if (g.count_padding) {
    return static_cast<double>(g.padded_pixels((row0 + g.ph) / g.sh, (column0 + g.pw) / g.sw));
  }
  std::int64_t inside = 0;
  for_pixels(g, plane, row0, column0, [&](std::int64_t, std::int64_t) { ++inside; });
  return static_cast<double>(inside);
}

}  // namespace

// A NaN takes the place of whatever came before it, as in PyTorch: the last of several is the maximum.
void reference_max_pool(const PoolGeometry& g, View<const double> x, View<double> y, View<double> index) {
  for_windows(g, [&](std::int64_t plane, std::int64_t output, std::int64_t row0, std::int64_t column0) {
    bool first = true;
    double best = 0;
    std::int64_t best_tap = 0;
    for_pixels(g, plane, row0, column0, [&](std::int64_t tap, std::int64_t i) {
      if (first || x[i] > best || std::isnan(x[i])) {
        best = x[i];
        best_tap = tap;
      }
      first = false;
    });
    y[output] = best;
    if (index.data != nullptr) index[output] = static_cast<double>(best_tap);
  });
}

void reference_max_pool_gradient(const PoolGeometry& g, View<const double> dy, View<const double> index,
                                 View<double> dx) {
  std::fill_n(dx.data, dx.shape.elements(), 0.0);
  for_windows(g, [&](std::int64_t plane, std::int64_t output, std::int64_t row0, std::int64_t column0) {
    for_pixels(g, plane, row0, column0, [&](std::int64_t tap, std::int64_t i) {
      if (static_cast<double>(tap) == index[output]) dx[i] += dy[output];
    });
  });
}

void reference_avg_pool(const PoolGeometry& g, View<const double> x, View<double> y) {
  for_windows(g, [&](std::int64_t plane, std::int64_t output, std::int64_t row0, std::int64_t column0) {
    double sum = 0;
    for_pixels(g, plane, row0, column0, [&](std::int64_t, std::int64_t i) { sum += x[i]; });
    y[output] = sum / divisor(g, plane, row0, column0);
  });
}

void reference_avg_pool_gradient(const PoolGeometry& g, View<const double> dy, View<double> dx) {
  std::fill_n(dx.data, dx.shape.elements(), 0.0);
  for_windows(g, [&](std::int64_t plane, std::int64_t output, std::int64_t row0, std::int64_t column0) {
    const double share = dy[output] / divisor(g, plane, row0, column0);
    for_pixels(g, plane, row0, column0, [&](std::int64_t, std::int64_t i) { dx[i] += share; });
  });
}

}  // namespace resnet::kernels
