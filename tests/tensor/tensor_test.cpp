#include "resnet/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <sstream>
#include <vector>

namespace resnet {
namespace {

TEST(DType, HasASizeAndAName) {
  EXPECT_EQ(size_of(DType::f32), 4U);
  EXPECT_EQ(size_of(DType::f64), 8U);
  EXPECT_EQ(size_of(DType::i32), 4U);
  EXPECT_EQ(size_of(DType::i64), 8U);
  EXPECT_EQ(size_of(DType::u8), 1U);
  EXPECT_EQ(name_of(DType::i64), "i64");
}

TEST(Shape, CountsElementsAndPrintsAsPyTorchDoesWithoutSpaces) {
  const Shape shape{4, 3, 6, 6};
  EXPECT_EQ(shape.rank(), 4);
  EXPECT_EQ(shape[1], 3);
  EXPECT_EQ(shape.elements(), 432);
  EXPECT_EQ(to_string(shape), "[4,3,6,6]");
  std::ostringstream out;
  out << Shape{} << Shape{7} << Shape{2, 0, 3};
  EXPECT_EQ(out.str(), "[][7][2,0,3]");
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{2, 0, 3}).elements(), 0);
}

TEST(Shape, EqualsByRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{3, 2}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{2, 3, 1}));
  EXPECT_FALSE(Shape{} == Shape{1});
}

TEST(Shape, RefusesWhatIsNoShape) {
  EXPECT_THROW((Shape{-1}), ShapeError);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), ShapeError);
  EXPECT_EQ((Shape{Shape::kMaxElements, 1}).elements(), Shape::kMaxElements);
  EXPECT_THROW((Shape{Shape::kMaxElements, 2}), ShapeError);
  EXPECT_THROW((Shape{std::numeric_limits<std::int64_t>::max()}), ShapeError);
  EXPECT_THROW((Shape{4194305, 4194305, 211106198978564}), ShapeError) << "wraps to 4 in 64 bits";
}

TEST(Tensor, IsEmptyByDefaultAndZeroWhenNew) {
  const Tensor none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.shape(), (Shape{0}));
  EXPECT_EQ(none.bytes(), 0U);
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8}) {
    const Tensor tensor({3, 5}, dtype);
    EXPECT_EQ(tensor.bytes(), 15 * size_of(dtype));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.raw()) % 64, 0U);
    EXPECT_TRUE(std::all_of(tensor.raw(), tensor.raw() + tensor.bytes(),
                            [](std::byte b) { return b == std::byte{0}; }));
  }
  EXPECT_EQ(Tensor(Shape{}).values().size(), 1U) << "a scalar";
}

TEST(Tensor, CopiesDeeplyAndMoves) {
  Tensor a({2, 2});
  a.values()[3] = 5;
  Tensor b = a;
  b.values()[3] = 7;
  EXPECT_EQ(a.values()[3], 5);
  a = b;
  EXPECT_EQ(a.values()[3], 7);
  Tensor& same = a;
  a = same;
  EXPECT_EQ(a.values()[3], 7);
  const std::byte* data = a.raw();
  const Tensor c = std::move(a);
  EXPECT_EQ(c.raw(), data);
}

TEST(Tensor, IsADefaultOneWhenMovedFrom) {
  Tensor a({2, 2}, DType::i64);
  Tensor b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): what is promised
  EXPECT_EQ(a.dtype(), DType::f32);
  const Tensor copy = a;
  EXPECT_TRUE(copy.empty() && copy.values().empty());
  Tensor c({3});
  c = std::move(b);
  EXPECT_EQ(c.shape(), (Shape{2, 2}));
  EXPECT_TRUE(b.empty());  // NOLINT(bugprone-use-after-move)
  Tensor& same = c;
  c = std::move(same);
  EXPECT_EQ(c.shape(), (Shape{2, 2}));
}

TEST(Tensor, IsReadAsItsOwnDtypeOnly) {
  Tensor tensor({2}, DType::i64);
  tensor.view<std::int64_t>()[1] = -3;
  const Tensor& read = tensor;
  EXPECT_EQ(read.view<std::int64_t>()[1], -3);
  EXPECT_THROW(tensor.values(), ShapeError);
  EXPECT_THROW(static_cast<void>(read.view<double>()), ShapeError);
}

TEST(RandomUniform, DependsOnSeedAndIndexAlone) {
  const Tensor a = random_uniform({10, 10}, 4);
  const Tensor b = random_uniform({3}, 4);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(a.values()[i], b.values()[i]);
  EXPECT_NE(random_uniform({3}, 5).values()[0], b.values()[0]);
  for (const float v : a.values()) {
    EXPECT_GE(v, 0.0F);
    EXPECT_LT(v, 1.0F);
  }
}

TEST(AlignedBuffer, IsEmptyWhenItWasMovedFrom) {
  AlignedBuffer a(64);
  AlignedBuffer b(std::move(a));
  EXPECT_EQ(a.size(), 0U);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.size(), 64U);
  a = std::move(b);
  EXPECT_EQ(b.size(), 0U);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(a.size(), 64U);
}

}  // namespace
}  // namespace resnet
