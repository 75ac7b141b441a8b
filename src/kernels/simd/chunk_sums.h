// Sums for each channel, accumulated chunk by chunk by whoever runs a chunk and merged in double, in the
// order of chunks: the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace resnet::kernels {

/// A number for each channel close to the mean of most data of a chunk, and unharmed by an outlier: of eight
/// rows spread over the chunk, a middle value of the even and of the odd ones, averaged. At a shift that is D
/// deviations off, the error of the variance grows by 1 + D^2.
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

/// Where the sums of chunks stand: one cache line for each kind, chunk and `line`, 16
/// channels; those of a line stand side by side, because they are merged line by line.
class ChunkSums {
 public:
  static constexpr std::int64_t kLanes = 16;  // channels of a line: f32 of a cache line or a longest vector
  using Line = std::array<double, kLanes>;

  ChunkSums(std::int64_t channels, std::int64_t chunks, int kinds)
      : channels_(channels), chunks_(chunks), kinds_(kinds) {}

  std::int64_t chunks() const noexcept { return chunks_; }
  std::int64_t lines() const noexcept { return (channels_ + kLanes - 1) / kLanes; }
  std::int64_t line_begin(std::int64_t line) const noexcept { return line * kLanes; }
  std::int64_t line_size(std::int64_t line) const noexcept {
    return std::min(kLanes, channels_ - line_begin(line));
  }
  std::int64_t bytes() const noexcept { return at(lines(), 0, 0) * std::int64_t{sizeof(float)}; }

  std::int64_t at(std::int64_t line, std::int64_t chunk, int which) const noexcept {
    return ((line * chunks_ + chunk) * kinds_ + which) * kLanes;
  }

  /// A number for each channel, or for those of some lines.
  void store(const float* numbers, float* sums, std::int64_t chunk, int which) const noexcept {
    store(numbers, sums, chunk, which, 0, lines());
  }
  void store(const float* numbers, float* sums, std::int64_t chunk, int which, std::int64_t first_line,
             std::int64_t end_line) const noexcept {
    for (std::int64_t line = first_line; line < end_line; ++line)
      std::copy_n(numbers + line_begin(line), line_size(line), sums + at(line, chunk, which));
  }

  /// The sum of a kind over all chunks.
  Line total(const float* sums, std::int64_t line, int which) const noexcept {
    Line result{};
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      const float* from = sums + at(line, chunk, which);
      for (std::size_t i = 0; i < size(line); ++i) result[i] += double{from[i]};
    }
    return result;
  }

  struct Moments {
    Line mean, squares;  // squares about the mean, summed over all rows
  };
  /// Of sums about a shift for each chunk, kinds 0 to 2: the shift, the sum and the sum of squares.
  /// With d = value - shift over n values and e = mean - shift, sum (value - mean)^2 =
  /// sum d^2 - e * (2 * sum d - n * e).
  /// Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
  template <class Rows>
  Moments moments(const float* sums, std::int64_t line, std::int64_t rows,
                  const Rows& rows_of) const noexcept {
    Moments result{};
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      const auto n = static_cast<double>(rows_of(chunk));
      const float* shift = sums + at(line, chunk, 0);
      const float* sum = sums + at(line, chunk, 1);
      for (std::size_t i = 0; i < size(line); ++i) result.mean[i] += n * double{shift[i]} + double{sum[i]};
    }
    for (double& m : result.mean) m /= static_cast<double>(rows);
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      const auto n = static_cast<double>(rows_of(chunk));
      const float* shift = sums + at(line, chunk, 0);
      const float* sum = sums + at(line, chunk, 1);
      const float* square = sums + at(line, chunk, 2);
      for (std::size_t i = 0; i < size(line); ++i) {
        const double e = result.mean[i] - double{shift[i]};
        result.squares[i] += double{square[i]} - e * (2.0 * double{sum[i]} - n * e);
      }
    }
    for (double& s : result.squares) s = s < 0 ? 0.0 : s;  // rounding; NaN stays NaN
    return result;
  }
  /// As rows [3][channels]: the mean rounded to f32, what that left, and the biased variance.
  void store(const Moments& moments, std::int64_t line, std::int64_t rows, float* result) const noexcept {
    for (std::int64_t i = 0; i < line_size(line); ++i) {
      const double mean = moments.mean[static_cast<std::size_t>(i)];
      float* to = result + line_begin(line) + i;
      to[0] = static_cast<float>(mean);
      to[channels_] = static_cast<float>(mean - double{to[0]});
      to[2 * channels_] =
          static_cast<float>(moments.squares[static_cast<std::size_t>(i)] / static_cast<double>(rows));
    }
  }

 private:
  std::size_t size(std::int64_t line) const noexcept { return static_cast<std::size_t>(line_size(line)); }

  std::int64_t channels_, chunks_;
  int kinds_;
};

}  // namespace resnet::kernels
