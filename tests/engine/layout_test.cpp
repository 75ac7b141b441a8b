// Images may come in either layout: every engine gives the same bits.
#include "engine/layout.h"

#include <gtest/gtest.h>

#include <cstring>

#include "support/networks.h"

namespace resnet {
namespace {

Tensor pixels_of(const Tensor& planes) {
  const Shape& s = planes.shape();
  Tensor result(Shape{s[0], s[2], s[3], s[1]});
  float* to = result.values().data();
  for (std::int64_t n = 0; n < s[0]; ++n) {
    for (std::int64_t i = 0; i < s[2] * s[3]; ++i) {
      for (std::int64_t c = 0; c < s[1]; ++c)
        *to++ = planes.values()[static_cast<std::size_t>((n * s[1] + c) * s[2] * s[3] + i)];
    }
  }
  return result;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TEST(ImagesToNative, ArePixelsFromEitherLayoutForAnyRangeOfImages) {
  for (const std::int64_t channels : {1, 2, 3, 40}) {
    const Tensor planes = random_uniform({5, channels, 7, 9}, 3);
    const Tensor pixels = pixels_of(planes);
    for (const ImageView& images : {ImageView(planes.view<float>()), ImageView::nhwc(pixels.view<float>())}) {
      Tensor got(pixels.shape());
      engine::images_to_native(images, got.values().data(), 0, 2);
      engine::images_to_native(images, got.values().data(), 2, 5);
      EXPECT_TRUE(same_bits(got, pixels)) << channels << " channels";
    }
  }
}

TEST(Engines, GiveTheSameBitsForImagesInEitherLayout) {
  for (const std::int64_t channels : {1, 3}) {
    const Shape shape{4, channels, 35, 41};
    const test::Examples e = test::examples(shape, 10);
    const Tensor pixels = pixels_of(e.images);
    const nn::Sequential net = test::random_network(
        "resnet18", {.in_channels = channels, .classes = 10, .blocks = {1, 1}, .channels = {8, 16}});
    for (const bool native : {true, false}) {
      const auto make = [&]() -> std::unique_ptr<Engine> {
        Network network = network_of(net, shape);
        return native ? make_engine(std::move(network), {.threads = 2})
                      : make_reference_engine(std::move(network));
      };
      const auto one = make(), other = make();
      const ImageView planar = e.images.view<float>();
      const ImageView interleaved = ImageView::nhwc(pixels.view<float>());
      const auto labels = e.labels.view<std::int32_t>();
      EXPECT_TRUE(same_bits(one->infer(planar), other->infer(interleaved)));
      EXPECT_EQ(one->step(planar, labels, {0.05F}).loss_sum,
                other->step(interleaved, labels, {0.05F}).loss_sum);
      EXPECT_EQ(one->gradients(planar, labels).loss_sum, other->gradients(interleaved, labels).loss_sum);
      one->apply({0.05F});
      other->apply({0.05F});
      const State a = one->state(), b = other->state();
      ASSERT_EQ(a.size(), b.size());
      for (std::size_t i = 0; i < a.size(); ++i)
        EXPECT_TRUE(same_bits(a[i].second, b[i].second)) << a[i].first;
    }
  }
}

}  // namespace
}  // namespace resnet
