#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include "resnet/error.h"
#include "resnet/tensor.h"

namespace resnet {
namespace {

std::string text(const Tensor& tensor) {
  std::ostringstream out;
  out << tensor;
  return out.str();
}

Tensor counted(const Shape& shape, float factor = 1) {
  Tensor tensor(shape);
  for (std::size_t i = 0; i < tensor.values().size(); ++i)
    tensor.values()[i] = factor * static_cast<float>(i);
  return tensor;
}

TEST(PrintedTensor, HasABracketForEachAxis) {
  EXPECT_EQ(text(counted({2, 3}, 0.5F)), "[[0.0000, 0.5000, 1.0000],\n [1.5000, 2.0000, 2.5000]] f32 [2,3]");
  EXPECT_EQ(text(counted({2, 1, 2})), "[[[0.0000, 1.0000]],\n\n [[2.0000, 3.0000]]] f32 [2,1,2]");
  EXPECT_EQ(text(counted({3})), "[0.0000, 1.0000, 2.0000] f32 [3]");
  EXPECT_EQ(text(counted({}, 0)), "0.0000 f32 []");
  EXPECT_EQ(text(Tensor()), "[] f32 [0]");
}

TEST(PrintedTensor, AlignsItsColumns) {
  Tensor tensor(Shape{4}, DType::i32);
  tensor.view<std::int32_t>()[1] = -120;
  EXPECT_EQ(text(tensor), "[   0, -120,    0,    0] i32 [4]");
  Tensor odd = counted({4});
  odd.values()[1] = std::numeric_limits<float>::quiet_NaN();
  odd.values()[2] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(text(odd), "[0.0000,    nan,   -inf, 3.0000] f32 [4]");
  EXPECT_EQ(text(counted({3}, 1e-7F)), "[0.0000e+00, 1.0000e-07, 2.0000e-07] f32 [3]");
}

TEST(PrintedTensor, IsBounded) {
  EXPECT_EQ(text(counted({2000})),
            "[   0.0000,    1.0000,    2.0000, ..., 1997.0000, 1998.0000, 1999.0000] f32 [2000]");
  for (const Shape& shape : {Shape{1 << 20}, Shape{1000, 1000}, Shape{64, 64, 64}, Shape{32, 64, 8, 8},
                             Shape{9, 9, 9, 9, 9, 9}, Shape{1, 1, 1, 1, 1, 100000}}) {
    EXPECT_LT(text(Tensor(shape)).size(), 6000U) << to_string(shape);
  }
  const std::string images = text(Tensor(Shape{32, 64, 8, 8}));
  EXPECT_EQ(std::count(images.begin(), images.end(), '0'), 256 * 5);
}

TEST(ErrorOfTheLibrary, AlwaysHasAHint) {
  for (const Error& error :
       {Error("what"), static_cast<Error>(ShapeError("what")), static_cast<Error>(ConfigError("what", "")),
        static_cast<Error>(FormatError("what")), static_cast<Error>(IoError("what"))}) {
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_EQ(ShapeError("what", "do this").hint(), "do this");
}

}  // namespace
}  // namespace resnet
