// The C interface, given a model whose outputs depend on the picture's size: made by hand, or by a stranger.
#include <gtest/gtest.h>
#include <resnet.h>

#include <array>
#include <string_view>
#include <vector>

#include "io/folder_test.h"
#include "resnet/model_file.h"
#include "support/networks.h"

namespace resnet {
namespace {

class OddModel : public FolderTest {};

TEST_F(OddModel, HasNoAnswerForPicturesOfAnotherSize) {
  nn::Sequential net(nn::Conv2d{3, 2, {.kernel = 1}}, nn::Flatten{});
  nn::init(net, nn::Scheme::torchvision, 1);
  Network network = network_of(net, {1, 3, 8, 8});
  ModelFile model;
  model.state = std::move(network.state);
  model.graph = std::move(network.eval);
  model.preprocessing.channels = 3;
  save_model(file("odd.safetensors"), model);
  resnet_model* opened = nullptr;
  ASSERT_EQ(resnet_open(file("odd.safetensors").c_str(), nullptr, &opened), RESNET_OK) << resnet_error();
  EXPECT_EQ(resnet_classes(opened), 128U);
  std::vector<unsigned char> pixels(64 * 64 * 3);
  std::array<resnet_prediction, 128> top{};
  for (const int side : {1, 9, 64}) {
    EXPECT_EQ(resnet_predict_rgb(opened, pixels.data(), side, side, top.data(), top.size(), nullptr),
              RESNET_ERROR_SHAPE)
        << side << ": " << resnet_error();
  }
  EXPECT_EQ(resnet_predict_rgb(opened, pixels.data(), 8, 8, top.data(), top.size(), nullptr), RESNET_OK)
      << resnet_error();
  const auto picture = [&](std::int64_t side) {
    return resnet_picture{pixels.data(), pixels.size(), side, side, 3, 0};
  };
  const std::array<resnet_picture, 3> pictures = {picture(8), picture(8), picture(64)};
  std::array<resnet_prediction, 3 * 128> tops{};
  EXPECT_EQ(resnet_predict_batch(opened, pictures.data(), pictures.size(), tops.data(), 128, nullptr),
            RESNET_ERROR_SHAPE);
  EXPECT_TRUE(std::string_view(resnet_error()).starts_with("picture 2: ")) << resnet_error();
  resnet_close(opened);
}

}  // namespace
}  // namespace resnet
