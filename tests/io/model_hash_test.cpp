#include "io/model_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace resnet::io {
namespace {

NamedTensors small_state() {
  Tensor weight({2, 1});
  weight.values()[0] = 1;
  weight.values()[1] = -2;
  Tensor count(Shape{}, DType::i64);
  count.view<std::int64_t>()[0] = 3;
  return {{"b.weight", weight}, {"a.count", count}};
}

// Computed elsewhere, in Python:
//   h = hashlib.sha256()
//   h.update(b"a.count\0I64\0[]\0" + struct.pack("<q", 3))
//   h.update(b"b.weight\0F32\0[2,1]\0" + struct.pack("<2f", 1, -2))
TEST(WeightsSha256, IsTheHashOfTheDocumentedBytes) {
  EXPECT_EQ(weights_sha256(small_state()),
            "e98da80caf74b9f8dec492f8270bcb092d04a0d2d84b7a162e83423a9a082fcf");
  EXPECT_EQ(weights_sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(WeightsSha256, DoesNotDependOnTheOrderOfTheTensors) {
  NamedTensors state = small_state();
  std::reverse(state.begin(), state.end());
  EXPECT_EQ(weights_sha256(state), weights_sha256(small_state()));
}

TEST(WeightsSha256, DependsOnEveryNameShapeDtypeAndBit) {
  const std::string hash = weights_sha256(small_state());
  NamedTensors state = small_state();
  state[0].first = "c.weight";
  EXPECT_NE(weights_sha256(state), hash);
  state = small_state();
  state[1].second.view<std::int64_t>()[0] = 4;
  EXPECT_NE(weights_sha256(state), hash);
  state = small_state();
  Tensor flat({2});
  std::copy_n(state[0].second.values().begin(), 2, flat.values().begin());
  state[0].second = flat;
  EXPECT_NE(weights_sha256(state), hash);
  const NamedTensors f32_zero = {{"x", Tensor({1}, DType::f32)}};
  const NamedTensors i32_zero = {{"x", Tensor({1}, DType::i32)}};
  EXPECT_NE(weights_sha256(f32_zero), weights_sha256(i32_zero));
}

}  // namespace
}  // namespace resnet::io
