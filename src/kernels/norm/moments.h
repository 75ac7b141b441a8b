// Mean and variance of each channel from the sums of chunks, each about a shift of its own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace resnet::kernels {

/// A number for each channel close to the mean of most data, and unharmed by an outlier: of eight rows spread
/// over the chunk, a middle value of the even and of the odd ones, averaged. At a shift that is D deviations
/// off, the error of the variance grows by 1 + D^2.
template <class T>
void choose_shift(const T* x, std::int64_t rows, std::int64_t channels, float* shift) noexcept {
  const auto row = [&](std::int64_t eighth) { return x + rows * eighth / 8 * channels; };
  const std::array<const T*, 8> v = {row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)};
  for (std::int64_t i = 0; i < channels; ++i) {
    const auto at = [&](std::size_t k) { return static_cast<float>(v[k][i]); };
    const float even = std::max(std::min(at(0), at(2)), std::min(at(4), at(6)));
    const float odd = std::max(std::min(at(1), at(3)), std::min(at(5), at(7)));
    shift[i] = 0.5F * even + 0.5F * odd;
  }
}

/// What is known of a chunk: of each channel the shift, and the sums of value - shift and of its square.
struct ChunkSums {
  std::int64_t rows;
  const float *shift, *sum, *squares;
};

/// Mean of each of `channels`, and the sum of the squares of what values differ from it. `chunk(i)` is a
/// ChunkSums.
///
/// With d = value - shift over n values and e = mean - shift,
/// sum (value - mean)^2 = sum d^2 - e * (2 * sum d - n * e).
/// Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
template <class Chunks>
void merge_moments(std::int64_t chunks, std::int64_t channels, const Chunks& chunk, double* mean,
                   double* squares) noexcept {
  std::fill_n(mean, channels, 0.0);
  std::fill_n(squares, channels, 0.0);
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < chunks; ++i) {
    const ChunkSums sums = chunk(i);
    const auto n = static_cast<double>(sums.rows);
    rows += sums.rows;
    for (std::int64_t c = 0; c < channels; ++c) mean[c] += n * double{sums.shift[c]} + double{sums.sum[c]};
  }
  for (std::int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<double>(rows);
  for (std::int64_t i = 0; i < chunks; ++i) {
    const ChunkSums sums = chunk(i);
    const auto n = static_cast<double>(sums.rows);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double e = mean[c] - double{sums.shift[c]};
      squares[c] += double{sums.squares[c]} - e * (2.0 * double{sums.sum[c]} - n * e);
    }
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    if (squares[c] < 0) squares[c] = 0;  // rounding; NaN stays NaN
  }
}

}  // namespace resnet::kernels
