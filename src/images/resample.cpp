#include "images/resample.h"

#include <algorithm>
#include <cmath>
#include <string>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "resnet/error.h"

namespace resnet::images {
namespace {

constexpr int kBits = 22;  // of the fractions: 32 - 8 bits of a pixel - 2 for the sum
constexpr std::int32_t kHalf = 1 << (kBits - 1);
constexpr std::int64_t kStrip = 32;  // rows that the horizontal pass transposes at a time; fewest columns
constexpr std::int64_t kMostBetween = 1 << 20;  // bytes between the passes, unless kStrip columns have more

// The weighted sum of `taps` rows of n bytes that lie `stride` bytes apart, rounded to bytes.
struct Blend {
  const std::uint8_t* from;
  std::int64_t stride;
  const std::int32_t* weights;
  std::int32_t taps;
  std::uint8_t* out;
  std::int64_t n;
};

// Weights sum up to about 1, and their magnitudes to less than 2 (bicubic), so a sum overflows nothing; it
// may exceed 255, and with negative weights fall below 0.
std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255));
}

void blend_tail(const Blend& b, std::int64_t begin) {
  for (; begin < b.n; ++begin) {
    std::int32_t sum = kHalf;
    for (std::int32_t k = 0; k < b.taps; ++k) sum += b.weights[k] * b.from[k * b.stride + begin];
    b.out[begin] = rounded(sum);
  }
}

void blend_anywhere(const Blend& b) {
  constexpr std::int64_t kLanes = 32;
  std::int64_t begin = 0;
  for (; begin + kLanes <= b.n; begin += kLanes) {
    std::int32_t sums[kLanes];
    for (std::int32_t& sum : sums) sum = kHalf;
    for (std::int32_t k = 0; k < b.taps; ++k) {
      const std::uint8_t* from = b.from + k * b.stride + begin;
      for (std::int64_t i = 0; i < kLanes; ++i) sums[i] += b.weights[k] * from[i];
    }
    for (std::int64_t i = 0; i < kLanes; ++i) b.out[begin + i] = rounded(sums[i]);
  }
  blend_tail(b, begin);
}

#if defined(__x86_64__)

// The same in AVX2, which g++ 12 does not generate by itself. Measured on Zen 4: 28x28 to 96x96 in 3.6 us
// instead of 17, 500x500 RGB to 224x224 in 0.53 ms instead of 1.7.
[[gnu::target("avx2")]] void blend_avx2(const Blend& b) {
  constexpr std::int64_t kLanes = 32;
  const __m256i half = _mm256_set1_epi32(kHalf);
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // undoes the packs' interleaving
  std::int64_t begin = 0;
  for (; begin + kLanes <= b.n; begin += kLanes) {
    __m256i s0 = half, s1 = half, s2 = half, s3 = half;
    for (std::int32_t k = 0; k < b.taps; ++k) {
      const std::uint8_t* from = b.from + k * b.stride + begin;
      const __m256i weight = _mm256_set1_epi32(b.weights[k]);
      const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 16));
      s0 = _mm256_add_epi32(s0, _mm256_mullo_epi32(weight, _mm256_cvtepu8_epi32(low)));
      s1 = _mm256_add_epi32(s1, _mm256_mullo_epi32(weight, _mm256_cvtepu8_epi32(_mm_srli_si128(low, 8))));
      s2 = _mm256_add_epi32(s2, _mm256_mullo_epi32(weight, _mm256_cvtepu8_epi32(high)));
      s3 = _mm256_add_epi32(s3, _mm256_mullo_epi32(weight, _mm256_cvtepu8_epi32(_mm_srli_si128(high, 8))));
    }
    // The packs saturate, at 0 and 255.
    const __m256i words01 = _mm256_packs_epi32(_mm256_srai_epi32(s0, kBits), _mm256_srai_epi32(s1, kBits));
    const __m256i words23 = _mm256_packs_epi32(_mm256_srai_epi32(s2, kBits), _mm256_srai_epi32(s3, kBits));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words01, words23), in_order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b.out + begin), bytes);
  }
  blend_tail(b, begin);
}

#endif

void (*best_blend())(const Blend&) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return blend_avx2;
#endif
  return blend_anywhere;
}

// Transposes pixels of C bytes: rows of `from`, `from_width` pixels long, become columns of `to`.
template <std::int64_t C>
void turn(const std::uint8_t* from, std::int64_t from_width, std::uint8_t* to, std::int64_t to_width,
          std::int64_t rows, std::int64_t columns) {
  for (std::int64_t x = 0; x < columns; ++x) {
    for (std::int64_t y = 0; y < rows; ++y) {
      for (std::int64_t c = 0; c < C; ++c) {
        to[(x * to_width + y) * C + c] = from[(y * from_width + x) * C + c];
      }
    }
  }
}

double half_width(Filter filter) {
  return filter == Filter::bilinear ? 1.0 : 2.0;
}
double triangle(double distance) {
  return distance < 1.0 ? 1.0 - distance : 0.0;
}
// Cubic convolution with a = -0.5, in the order of Pillow's operations.
double cubic(double x) {
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

}  // namespace

Resampler::Resampler(std::int64_t in_height, std::int64_t in_width, std::int64_t out_height,
                     std::int64_t out_width, std::int64_t channels, bool portable, Filter filter)
    : in_height_(in_height),
      in_width_(in_width),
      out_height_(out_height),
      out_width_(out_width),
      channels_(channels),
      portable_(portable) {
  for (const std::int64_t size : {in_height, in_width, out_height, out_width}) {
    if (size < 1 || size > kMostPixels) {
      throw ShapeError("cannot resize " + std::to_string(in_height) + "x" + std::to_string(in_width) +
                           " to " + std::to_string(out_height) + "x" + std::to_string(out_width),
                       "sides must be 1 to 65535 pixels");
    }
  }
  x_ = make_axis(in_width, out_width, filter);
  y_ = make_axis(in_height, out_height, filter);
}

Resampler::Axis Resampler::make_axis(std::int64_t in, std::int64_t out, Filter filter) {
  Axis axis;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);  // nothing is smoothed when enlarging
  const double support = half_width(filter) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  axis.taps = static_cast<std::int64_t>(std::ceil(support)) * 2 + 1;
  axis.weights.assign(static_cast<std::size_t>(out * axis.taps), 0);
  std::vector<double> weights(static_cast<std::size_t>(axis.taps));
  for (std::int64_t i = 0; i < out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    // NOLINTBEGIN(bugprone-incorrect-roundings): Pillow's rounding, to the bit
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
    const auto last = std::min<std::int64_t>(in, static_cast<std::int64_t>(center + support + 0.5));
    double sum = 0;
    for (std::int64_t j = first; j < last; ++j) {
      const double distance = std::abs((static_cast<double>(j) - center + 0.5) * inverse);
      const double weight = filter == Filter::bilinear ? triangle(distance) : cubic(distance);
      weights[static_cast<std::size_t>(j - first)] = weight;
      sum += weight;
    }
    for (std::int64_t j = first; j < last; ++j) {
      const auto k = static_cast<std::size_t>(j - first);
      const double normalised = sum == 0.0 ? weights[k] : weights[k] / sum;
      axis.weights[static_cast<std::size_t>(i * axis.taps) + k] =
          static_cast<std::int32_t>(normalised * (1 << kBits) + (normalised < 0 ? -0.5 : 0.5));
    }
    // NOLINTEND(bugprone-incorrect-roundings)
    axis.first.push_back(static_cast<std::int32_t>(first));
    axis.count.push_back(static_cast<std::int32_t>(last - first));
  }
  return axis;
}

// Transposes a strip of rows, so that neighbours in x are a row apart: then both passes are weighted
// sums of rows, vectorised over pixels. Makes the columns [begin, end) of the result, side by side in `out`.
template <std::int64_t C>
void Resampler::horizontal(const std::uint8_t* in, std::int64_t begin, std::int64_t end, std::uint8_t* out,
                           std::uint8_t* scratch) const {
  const auto run_blend = portable_ ? blend_anywhere : best_blend();
  const std::int64_t from = x_.first[static_cast<std::size_t>(begin)];
  const auto last = static_cast<std::size_t>(end - 1);
  const std::int64_t reach = x_.first[last] + x_.count[last] - from;  // columns of `in` that these need
  const std::int64_t columns = end - begin;
  std::uint8_t* turned = scratch;
  std::uint8_t* resized = scratch + reach * kStrip * C;
  for (std::int64_t y = 0; y < in_height_; y += kStrip) {
    const std::int64_t rows = std::min(kStrip, in_height_ - y);
    turn<C>(in + (y * in_width_ + from) * C, in_width_, turned, kStrip, rows, reach);
    for (std::int64_t x = begin; x < end; ++x) {
      const auto at = static_cast<std::size_t>(x);
      run_blend({turned + (x_.first[at] - from) * kStrip * C, kStrip * C, x_.weights.data() + x * x_.taps,
                 x_.count[at], resized + (x - begin) * kStrip * C, kStrip * C});
    }
    turn<C>(resized, kStrip, out + y * columns * C, columns, columns, rows);
  }
}

// The columns [begin, end) of the result, of the same columns of `in`, which is so wide.
void Resampler::vertical(const std::uint8_t* in, std::int64_t begin, std::int64_t end,
                         std::uint8_t* out) const {
  const auto run_blend = portable_ ? blend_anywhere : best_blend();
  const std::int64_t row = (end - begin) * channels_;
  for (std::int64_t y = 0; y < out_height_; ++y) {
    const auto at = static_cast<std::size_t>(y);
    run_blend({in + y_.first[at] * row, row, y_.weights.data() + y * y_.taps, y_.count[at],
               out + (y * out_width_ + begin) * channels_, row});
  }
}

void Resampler::run(const std::uint8_t* in, std::uint8_t* out, std::vector<std::uint8_t>& between) const {
  const bool wide = in_width_ != out_width_;
  const bool high = in_height_ != out_height_;
  if (!wide && !high) {
    std::copy_n(in, in_height_ * in_width_ * channels_, out);
    return;
  }
  if (!wide) return vertical(in, 0, out_width_, out);
  // Where both sides change, a strip of columns after the other goes through both passes, so that a high
  // picture that becomes wide does not need their product.
  const std::int64_t columns =
      high ? std::min(out_width_, std::max(kStrip, kMostBetween / (in_height_ * channels_))) : out_width_;
  const std::int64_t first_pass = high ? in_height_ * columns * channels_ : 0;
  between.resize(static_cast<std::size_t>(first_pass + (in_width_ + columns) * kStrip * channels_));
  for (std::int64_t begin = 0; begin < out_width_; begin += columns) {
    const std::int64_t end = std::min(begin + columns, out_width_);
    std::uint8_t* widened = high ? between.data() : out;
    std::uint8_t* scratch = between.data() + first_pass;
    channels_ == 1 ? horizontal<1>(in, begin, end, widened, scratch)
                   : horizontal<3>(in, begin, end, widened, scratch);
    if (high) vertical(widened, begin, end, out);
  }
}

void check_image(const Image& image) {
  const bool sizes = image.height > 0 && image.height <= kMostPixels && image.width > 0 &&
                     image.width <= kMostPixels && (image.channels == 1 || image.channels == 3);
  if (sizes && static_cast<std::int64_t>(image.pixels.size()) == image.height * image.width * image.channels)
    return;
  throw ShapeError("an image of " + std::to_string(image.height) + "x" + std::to_string(image.width) +
                       " with " + std::to_string(image.channels) + " channels and " +
                       std::to_string(image.pixels.size()) + " bytes",
                   "sides are 1 to 65535 pixels, channels 1 (gray) or 3 (RGB), a byte each");
}

Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter) {
  check_image(image);
  const Resampler resampler(image.height, image.width, height, width, image.channels, false, filter);
  Image result{height, width, image.channels, {}};
  result.pixels.resize(static_cast<std::size_t>(height * width * image.channels));
  std::vector<std::uint8_t> between;
  resampler.run(image.pixels.data(), result.pixels.data(), between);
  return result;
}

Image resize_bilinear(const Image& image, std::int64_t height, std::int64_t width) {
  return resize(image, height, width, Filter::bilinear);
}

}  // namespace resnet::images
