// How far rounding can move a Winograd convolution: the algorithm with every number and every
// coefficient replaced by its absolute value, in double. Its matrices are derived here from the points
// alone, by Toom and Cook's construction, and not taken from the kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/conv/conv.h"

namespace resnet::kernels::bounds {

using Matrix = std::vector<std::vector<double>>;  // [row][column]

struct ToomCook {
  Matrix output;   // [m][T]
  Matrix weights;  // [T][3]
  Matrix input;    // [T][T]

  ToomCook(std::int64_t m, const std::vector<double>& points) {
    const auto finite = points.size(), all = finite + 1;
    for (std::int64_t k = 0; k < m; ++k) {
      output.emplace_back();
      for (const double p : points) output.back().push_back(std::pow(p, k));
      output.back().push_back(k == m - 1 ? 1 : 0);
    }
    for (std::size_t i = 0; i < finite; ++i) {
      double scale = 1;
      for (std::size_t j = 0; j < finite; ++j) scale *= j == i ? 1 : points[i] - points[j];
      weights.push_back({1 / scale, points[i] / scale, points[i] * points[i] / scale});
      input.push_back(polynomial(points, i, all));
    }
    weights.push_back({0, 0, 1});
    input.push_back(polynomial(points, finite, all));
  }

 private:
  // Coefficients of the product of (x - p) over all points but one.
  static std::vector<double> polynomial(const std::vector<double>& points, std::size_t without,
                                        std::size_t size) {
    std::vector<double> c = {1};
    for (std::size_t j = 0; j < points.size(); ++j) {
      if (j == without) continue;
      c.push_back(0);
      for (std::size_t k = c.size() - 1; k > 0; --k) c[k] = c[k - 1] - points[j] * c[k];
      c[0] *= -points[j];
    }
    c.resize(size, 0);
    return c;
  }
};

inline ToomCook toom_cook(std::int64_t m) {
  if (m == 6) return {6, {0, 1, -1, 2, -2, 0.5, -0.5}};
  return m == 3 ? ToomCook(3, {0, 1, -0.5, -2}) : ToomCook(4, {0, 2.0 / 3, -2.0 / 3, 1.5, -1.5});
}

inline Matrix transposed(const Matrix& a) {
  Matrix t(a[0].size(), std::vector<double>(a.size()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[0].size(); ++j) t[j][i] = a[i][j];
  }
  return t;
}

/// |a| x |a|^T.
inline Matrix both_ways(const Matrix& a, const Matrix& x) {
  Matrix half(a.size(), std::vector<double>(x[0].size(), 0)),
      result(a.size(), std::vector<double>(a.size(), 0));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < x[0].size(); ++j) {
      for (std::size_t k = 0; k < x.size(); ++k) half[i][j] += std::abs(a[i][k]) * x[k][j];
    }
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a.size(); ++j) {
      for (std::size_t k = 0; k < x[0].size(); ++k) result[i][j] += half[i][k] * std::abs(a[j][k]);
    }
  }
  return result;
}

/// The size x size numbers of plane (a, b) of `values` [..][planes][h][w] from (y, x), their absolute
/// values; zero outside.
inline Matrix patch(const std::vector<double>& values, std::int64_t plane, std::int64_t h, std::int64_t w,
                    std::int64_t y, std::int64_t x, std::int64_t size) {
  Matrix result(static_cast<std::size_t>(size), std::vector<double>(static_cast<std::size_t>(size), 0));
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < size; ++j) {
      if (y + i < 0 || y + i >= h || x + j < 0 || x + j >= w) continue;
      result[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] =
          std::abs(values[static_cast<std::size_t>((plane * h + y + i) * w + x + j)]);
    }
  }
  return result;
}

inline void add_product(Matrix& sum, const Matrix& a, const Matrix& b) {
  for (std::size_t i = 0; i < sum.size(); ++i) {
    for (std::size_t j = 0; j < sum.size(); ++j) sum[i][j] += a[i][j] * b[i][j];
  }
}

/// Of each channel of image n, for the tile whose first output is (y, left).
inline std::vector<Matrix> input_points(const ConvGeometry& g, const ToomCook& t, std::int64_t m,
                                        const std::vector<double>& x, std::int64_t n, std::int64_t y,
                                        std::int64_t left) {
  std::vector<Matrix> inputs;
  for (std::int64_t ci = 0; ci < g.ci; ++ci) {
    inputs.push_back(both_ways(t.input, patch(x, n * g.ci + ci, g.h, g.w, y - g.ph, left - g.pw, m + 2)));
  }
  return inputs;
}

/// Of y [N,Co,Ho,Wo] for x [N,Ci,H,W] and w [Co,Ci,3,3]; without the bias.
inline std::vector<double> winograd_forward_bound(const ConvGeometry& g, std::int64_t m,
                                                  const std::vector<double>& x,
                                                  const std::vector<double>& w) {
  const ToomCook t = toom_cook(m);
  const std::int64_t ho = g.ho(), wo = g.wo();
  std::vector<double> bound(static_cast<std::size_t>(g.n * g.co * ho * wo));
  std::vector<Matrix> weights;
  for (std::int64_t plane = 0; plane < g.co * g.ci; ++plane) {
    weights.push_back(both_ways(t.weights, patch(w, plane, 3, 3, 0, 0, 3)));
  }
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t y = 0; y < ho; y += m) {
      for (std::int64_t left = 0; left < wo; left += m) {
        const std::vector<Matrix> inputs = input_points(g, t, m, x, n, y, left);
        for (std::int64_t co = 0; co < g.co; ++co) {
          Matrix sum(t.input.size(), std::vector<double>(t.input.size(), 0));
          for (std::int64_t ci = 0; ci < g.ci; ++ci) {
            add_product(sum, inputs[static_cast<std::size_t>(ci)],
                        weights[static_cast<std::size_t>(co * g.ci + ci)]);
          }
          const Matrix tile = both_ways(t.output, sum);
          for (std::int64_t i = 0; i < std::min(m, ho - y); ++i) {
            for (std::int64_t j = 0; j < std::min(m, wo - left); ++j) {
              bound[static_cast<std::size_t>(((n * g.co + co) * ho + y + i) * wo + left + j)] =
                  tile[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
            }
          }
        }
      }
    }
  }
  return bound;
}

/// Of dx: the same of dy with mirrored weights.
inline std::vector<double> winograd_input_gradient_bound(const ConvGeometry& g, std::int64_t m,
                                                         const std::vector<double>& dy,
                                                         const std::vector<double>& w) {
  ConvGeometry mirrored = g;
  mirrored.ci = g.co;
  mirrored.co = g.ci;
  mirrored.h = g.ho();
  mirrored.w = g.wo();
  mirrored.ph = 2 - g.ph;
  mirrored.pw = 2 - g.pw;
  std::vector<double> turned(w.size());
  for (std::int64_t co = 0; co < g.co; ++co) {
    for (std::int64_t ci = 0; ci < g.ci; ++ci) {
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        turned[static_cast<std::size_t>((ci * g.co + co) * 9 + tap)] =
            w[static_cast<std::size_t>((co * g.ci + ci) * 9 + 8 - tap)];
      }
    }
  }
  return winograd_forward_bound(mirrored, m, dy, turned);
}

/// Of dw [Co,Ci,3,3].
inline std::vector<double> winograd_weight_gradient_bound(const ConvGeometry& g, std::int64_t m,
                                                          const std::vector<double>& x,
                                                          const std::vector<double>& dy) {
  const ToomCook t = toom_cook(m);
  const Matrix back = transposed(t.weights), gradient = transposed(t.output);
  const std::int64_t ho = g.ho(), wo = g.wo();
  std::vector<Matrix> sums(static_cast<std::size_t>(g.co * g.ci),
                           Matrix(t.input.size(), std::vector<double>(t.input.size(), 0)));
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t y = 0; y < ho; y += m) {
      for (std::int64_t left = 0; left < wo; left += m) {
        const std::vector<Matrix> inputs = input_points(g, t, m, x, n, y, left);
        for (std::int64_t co = 0; co < g.co; ++co) {
          const Matrix tile = both_ways(gradient, patch(dy, n * g.co + co, ho, wo, y, left, m));
          for (std::int64_t ci = 0; ci < g.ci; ++ci) {
            add_product(sums[static_cast<std::size_t>(co * g.ci + ci)], inputs[static_cast<std::size_t>(ci)],
                        tile);
          }
        }
      }
    }
  }
  std::vector<double> bound;
  for (const Matrix& sum : sums) {
    for (const auto& row : both_ways(back, sum)) bound.insert(bound.end(), row.begin(), row.end());
  }
  return bound;
}

}  // namespace resnet::kernels::bounds
