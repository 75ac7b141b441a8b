#include "serve/batcher.h"

#include <gtest/gtest.h>

#include <cstring>

#include "resnet/images.h"
#include "serve/answered.h"
#include "support/message_of.h"
#include "support/networks.h"

namespace resnet::serve {
namespace {

ModelFile small_model(data::Resize resize = {8, 8}) {
  const models::ResNetOptions options{.in_channels = 3, .classes = 4, .blocks = {1}, .channels = {8}};
  const nn::Sequential net = test::random_network("d2l_resnet18", options);
  Network network = network_of(net, {1, 3, 8, 8});
  return {std::move(network.state),
          std::move(network.eval),
          {.resize = resize, .channels = 3},
          {"a", "b", "c", "d"}};
}

std::string picture(std::uint8_t seed, std::int64_t height = 10, std::int64_t width = 12) {
  data::Image image{height, width, 3, {}};
  for (std::int64_t i = 0; i < height * width * 3; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>(seed * i % 253));
  const auto png = images::encode_png(image);
  return {png.begin(), png.end()};
}

std::shared_ptr<Ask> ask_of(const std::vector<std::string>& pictures) {
  auto ask = std::make_shared<Ask>();
  ask->top = 4;
  for (const std::string& one : pictures) ask->body += one;
  std::size_t at = 0;
  for (const std::string& one : pictures) {
    ask->files.push_back({"p", std::string_view(ask->body).substr(at, one.size())});
    at += one.size();
  }
  return ask;
}

// A batcher, and those that it has answered.
class BatcherTest : public ::testing::Test {
 protected:
  Batcher& make(const ModelFile& file, const ServeOptions& options = {}) {
    batcher_.reset();
    model_.emplace(file, EngineOptions{.threads = 2});
    return batcher_.emplace(*model_, options, metrics_,
                            [this](const std::shared_ptr<Ask>&) { answered_.count(); });
  }
  void wait_for(int done) { ASSERT_TRUE(answered_.wait_for(done)); }

  Metrics metrics_;
  test::Answered answered_;
  std::optional<Model> model_;
  std::optional<Batcher> batcher_;
};

// The bits of predict() with a batch size of 1, 2, 4 or 6; never another picture's.
TEST_F(BatcherTest, GivesTheAnswersOfPredict) {
  const ModelFile file = small_model();
  std::vector<std::string> pictures;
  for (std::uint8_t i = 1; i <= 32; ++i) pictures.push_back(picture(i, 8 + i % 3, 9));
  Batcher& batcher = make(file, {.batch_size = 6, .threads = 3});
  EXPECT_EQ(batcher.classes(), 4);
  const auto ask = ask_of(pictures);
  batcher.add(ask);
  wait_for(1);
  EXPECT_EQ(batcher.waiting(), 0);
  ASSERT_EQ(ask->answers.size(), pictures.size());
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const data::Image image =
        images::decode({reinterpret_cast<const std::uint8_t*>(pictures[i].data()), pictures[i].size()});
    bool same = false;
    for (const std::int64_t size : {1, 2, 4, 6}) {
      const Shape shape = data::preprocessed_shape(file.preprocessing, image.height, image.width);
      Tensor batch(Shape{size, shape[1], shape[2], shape[0]});
      data::preprocess(file.preprocessing, image,
                       batch.values().first(static_cast<std::size_t>(shape.elements())), ImageLayout::nhwc);
      const Tensor logits = model_->infer(ImageView::nhwc(batch.view<float>()));
      same = same || ask->answers[i].top == model_->top_of(logits, 0, 4);
    }
    EXPECT_TRUE(same) << i;
    EXPECT_EQ(ask->answers[i].file, "p");
  }
}

TEST_F(BatcherTest, TakesPicturesOfAnySizeOneByOneWhereTheNetworkDoes) {
  const ModelFile file = small_model({8, 0});  // the shorter side
  Model single(file, {.threads = 2});
  std::vector<std::string> pictures = {picture(3, 8, 16), picture(3, 24, 8), picture(3, 9, 9)};
  const auto ask = ask_of(pictures);
  make(file).add(ask);
  wait_for(1);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(pictures[i].data()), pictures[i].size());
    EXPECT_EQ(ask->answers[i].top, predict(single, bytes, {.top = 4}).top);
  }
}

TEST_F(BatcherTest, TellsPicturesThatAreNoneFromFaultsOfItsOwn) {
  Batcher& batcher = make(small_model());
  const auto ask = ask_of({picture(1), "no picture", picture(2).substr(0, 50)});
  batcher.add(ask);
  wait_for(1);
  EXPECT_EQ(ask->answers[0].error, "");
  EXPECT_NE(ask->answers[1].error, "");
  EXPECT_NE(ask->answers[2].error, "");
  EXPECT_FALSE(ask->failed);
  ModelFile infinite = small_model();
  for (auto& [name, tensor] : infinite.state) {
    if (name.ends_with("weight")) tensor.values()[0] = std::numeric_limits<float>::infinity();
  }
  EXPECT_THROW(make(infinite), ShapeError) << "at once, not with the first request";
}

TEST_F(BatcherTest, GivesTheOthersTheirAnswersWhereOneIsNotFinite) {
  ModelFile file = small_model();
  // Black pictures give the logits 0, others infinity: the last layer multiplies by more than there is.
  for (auto& [name, tensor] : file.state) {
    const float value = name.ends_with("bias") || name.ends_with("running_mean") ? 0.0F : 1e30F;
    if (!name.ends_with("running_var") && tensor.dtype() == DType::f32)
      std::ranges::fill(tensor.values(), value);
  }
  const auto png = images::encode_png({10, 12, 3, std::vector<std::uint8_t>(360, 0)});
  const auto ask = ask_of({picture(1), {png.begin(), png.end()}, picture(2)});
  make(file, {.batch_size = 4, .threads = 1}).add(ask);
  wait_for(1);
  EXPECT_NE(ask->answers[0].error, "");
  EXPECT_EQ(ask->answers[1].error, "");
  EXPECT_EQ(ask->answers[1].top.size(), 4U);
  EXPECT_NE(ask->answers[2].error, "");
  EXPECT_TRUE(ask->failed);
}

TEST_F(BatcherTest, LeavesOutPicturesThatNobodyWaitsFor) {
  Batcher& batcher = make(small_model(), {.threads = 1});
  const auto left = ask_of(std::vector<std::string>(64, picture(1)));
  left->abandoned = true;
  batcher.add(left);
  wait_for(1);
  EXPECT_EQ(left->answers[63].top.size(), 0U);
  EXPECT_NE(metrics_.text({}).find("resnet_pictures_total 0\n"), std::string::npos);
}

TEST_F(BatcherTest, EndsWithPicturesLeft) {
  make(small_model()).add(ask_of(std::vector<std::string>(500, picture(1))));
  batcher_.reset();  // at once
}

}  // namespace
}  // namespace resnet::serve
