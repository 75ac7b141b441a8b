// Values of maps in the public layout [n][c][h][w], for tests of kernels that fuse what has no readable
// reference.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "device/words.h"
#include "ops/operation.h"

namespace resnet::test {

using Values = std::vector<double>;

inline double as_bf16(double v) {
  return static_cast<double>(device::to_float(device::rounded<device::Bf16>(static_cast<float>(v))));
}

inline ops::ValueType f32(const Shape& shape) {
  return {shape, DType::f32};
}

inline View<const double> view(const Values& values, const Shape& shape) {
  return {values.data(), shape};
}

/// The channel of element i of a map.
inline std::int64_t channel_of(std::size_t i, const Shape& map) {
  return static_cast<std::int64_t>(i) / (map[2] * map[3]) % map[1];
}

/// Normal ones in f32.
inline Values random_values(std::int64_t count, const char* name, double scale = 1) {
  const RandomStream stream(11, name);
  Values values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(
        static_cast<double>(static_cast<float>(scale * stream.normal(static_cast<std::uint64_t>(i)))));
  return values;
}

/// Within so much of themselves and 1e-5 of the largest.
inline void expect_near(const Values& got, const Values& want, double relative, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (const double v : want) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - want[i]), std::abs(want[i]) * relative + 1e-5 * largest)
        << what << ", element " << i << ": " << got[i] << " for " << want[i];
  }
}

/// Sums by channel of what `number` makes of each element of a map.
template <class F>
Values by_channel(const Shape& map, const F& number) {
  Values sums(static_cast<std::size_t>(map[1]));
  for (std::size_t i = 0; i < static_cast<std::size_t>(map.elements()); ++i)
    sums[static_cast<std::size_t>(channel_of(i, map))] += number(i);
  return sums;
}

/// moments [3][c] of a map: mean, what rounding it left, variance.
inline void expect_moments(const Values& moments, const Values& y, const Shape& map) {
  const auto c = static_cast<std::size_t>(map[1]);
  const double rows = static_cast<double>(map.elements()) / static_cast<double>(c);
  const Values mean = by_channel(map, [&](std::size_t i) { return y[i] / rows; });
  const Values variance = by_channel(map, [&](std::size_t i) {
    const double d = y[i] - mean[static_cast<std::size_t>(channel_of(i, map))];
    return d * d / rows;
  });
  for (std::size_t k = 0; k < c; ++k)
    ASSERT_NEAR(moments[k] + moments[c + k], mean[k], 1e-12 * (1 + std::abs(mean[k]))) << "channel " << k;
  expect_near({moments.begin() + static_cast<std::ptrdiff_t>(2 * c), moments.end()}, variance, 1e-6,
              "variance");
}

}  // namespace resnet::test
