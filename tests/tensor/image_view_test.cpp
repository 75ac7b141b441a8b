#include "resnet/image_view.h"

#include <gtest/gtest.h>

namespace resnet {
namespace {

TEST(ImageView, HaveThePublicShapeInEitherLayout) {
  Tensor tensor({2, 5, 7, 3});
  const ImageView planar = tensor.view<float>();
  EXPECT_EQ(planar.shape, (Shape{2, 5, 7, 3}));
  EXPECT_EQ(planar.layout, ImageLayout::nchw);
  const ImageView pixels = ImageView::nhwc(tensor.view<float>());
  EXPECT_EQ(pixels.shape, (Shape{2, 3, 5, 7}));
  EXPECT_EQ(pixels.layout, ImageLayout::nhwc);
  EXPECT_EQ(pixels.data, tensor.values().data());
  const Tensor flat({2, 3});
  EXPECT_THROW(ImageView::nhwc(flat.view<float>()), ShapeError);
}

}  // namespace
}  // namespace resnet
