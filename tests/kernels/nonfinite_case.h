// What the tests of NaN and infinities share: where they stand, and what comes out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernel_test_support.h"

namespace resnet::kernels::testing {

inline constexpr double kKinds[] = {kNan, kInf, -kInf};

/// A map [n][h][w][c] behind the kernels' contract.
struct Map {
  Index n = 0, h = 0, w = 0, c = 0;
  Index elements() const { return n * h * w * c; }
  std::size_t at(Index image, Index row, Index column, Index channel) const {
    return static_cast<std::size_t>(((image * h + row) * w + column) * c + channel);
  }
  Shape shape() const { return {n, c, h, w}; }
};

/// Every place of a border, and some inside.
inline std::vector<std::pair<Index, Index>> places(Index h, Index w) {
  std::vector<std::pair<Index, Index>> all;
  for (Index row = 0; row < h; ++row) {
    for (Index column = 0; column < w; ++column) {
      const bool inside = row > 0 && row < h - 1 && column > 0 && column < w - 1;
      if (!inside || (row * w + column) % 5 == 0) all.emplace_back(row, column);
    }
  }
  return all;
}

/// A map with an image for each place and kind, of h x w pixels.
inline Map images_of(Index h, Index w, Index c) {
  return {static_cast<Index>(places(h, w).size()) * 3, h, w, c};
}

/// Each image of `map` has its place and kind, in one channel. `all`: that kind everywhere, or 0.
inline Values poisoned(const Map& map, Values values, double all = 0) {
  const auto where = places(map.h, map.w);
  for (Index image = 0; image < map.n; ++image) {
    const auto [row, column] = where[static_cast<std::size_t>(image / 3) % where.size()];
    values[map.at(image, row, column, image % map.c)] = all != 0 ? all : kKinds[image % 3];
  }
  return values;
}

inline int kind_of(double v) {
  return std::isnan(v) ? 1 : std::isfinite(v) ? 0 : v > 0 ? 2 : 3;
}

/// `touched`: not finite where an element that is NaN shows. `reach`: pixels from there that may be as
/// little.
struct Expected {
  Values values, touched;
  Index reach = 0;
};

/// Kinds are those expected, or with a reach not finite where that is; elsewhere bits are those without.
inline void expect_kinds(const Map& map, const Values& actual, const Values& clean,
                         const Expected& expected) {
  std::vector<bool> near(actual.size() / static_cast<std::size_t>(map.c));
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isfinite(expected.touched[i])) continue;
    const Index pixel = static_cast<Index>(i) / map.c, image = pixel / (map.h * map.w),
                row = pixel / map.w % map.h, column = pixel % map.w, reach = expected.reach;
    for (Index r = std::max<Index>(0, row - reach); r <= std::min(map.h - 1, row + reach); ++r) {
      for (Index c = std::max<Index>(0, column - reach); c <= std::min(map.w - 1, column + reach); ++c)
        near[static_cast<std::size_t>((image * map.h + r) * map.w + c)] = true;
    }
  }
  Index wrong = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const int want = kind_of(expected.values[i]), got = kind_of(actual[i]);
    const bool far = !near[i / static_cast<std::size_t>(map.c)];
    const bool right = far                   ? actual[i] == clean[i]
                       : expected.reach == 0 ? want == got
                                             : want == 0 || got != 0;
    if (right || ++wrong > 1) continue;
    ADD_FAILURE() << "at [" << i << "]: got " << actual[i] << ", expected "
                  << (far ? clean[i] : expected.values[i]);
  }
  EXPECT_EQ(wrong, 0) << "places of " << actual.size();
}

/// A map to the public layout, and back.
inline Values to_public(const Map& map, const Values& values) {
  return transposed(values, map.n, map.h * map.w, map.c);
}
inline Values to_native(const Map& map, const Values& values) {
  return transposed(values, map.n, map.c, map.h * map.w);
}

/// Calls check(values with one that is not finite) for every place and kind.
template <class Check>
inline void for_places(const Map& map, const Values& values, const Check& check) {
  Index turn = 0;
  for (const auto& [row, column] : places(map.h, map.w)) {
    for (const double kind : kKinds) {
      Values bad = values;
      bad[map.at(0, row, column, turn++ % map.c)] = kind;
      SCOPED_TRACE("row " + std::to_string(row) + ", column " + std::to_string(column) + ": " +
                   std::to_string(kind));
      check(bad);
      if (::testing::Test::HasFailure()) return;
    }
  }
}

/// No finite value where there is none expected; all finite where none is expected not to be.
inline void expect_no_finite(const Values& actual, const Values& expected, bool exactly) {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (!std::isfinite(expected[i])) ASSERT_FALSE(std::isfinite(actual[i])) << "at [" << i << "]";
    if (exactly) ASSERT_EQ(kind_of(actual[i]), kind_of(expected[i])) << "at [" << i << "]";
  }
}

}  // namespace resnet::kernels::testing
