// Summaries of networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "resnet/models.h"
#include "resnet/nn.h"

namespace resnet {
namespace {

TEST(Summary, PrintsTheChaptersEightLines) {
  std::ostringstream out;
  out << summary(models::d2l_resnet18({.in_channels = 1, .classes = 10}), {1, 1, 224, 224});
  EXPECT_EQ(out.str(),
            "Sequential output shape:\t[1, 64, 56, 56]\n"
            "Sequential output shape:\t[1, 64, 56, 56]\n"
            "Sequential output shape:\t[1, 128, 28, 28]\n"
            "Sequential output shape:\t[1, 256, 14, 14]\n"
            "Sequential output shape:\t[1, 512, 7, 7]\n"
            "AdaptiveAvgPool2d output shape:\t[1, 512, 1, 1]\n"
            "Flatten output shape:\t[1, 512]\n"
            "Linear output shape:\t[1, 10]\n"
            "11,178,378 parameters, 3.479 GFLOPs forward (a multiply-add counts two)\n");
}

TEST(Summary, CountsTheMultiplyAddsOfAConvolutionByHand) {
  const nn::Summary summary =
      nn::summary(nn::Sequential(nn::Conv2d{3, 8, {.kernel = 3, .padding = 1, .bias = false}}), {2, 3, 5, 5});
  EXPECT_EQ(summary.flops, 2.0 * 2 * 25 * 8 * 27);
  EXPECT_EQ(summary.parameters, 216);
}

TEST(Summary, LayersFollowTheEvaluationAndAddUpToTheWhole) {
  const nn::Sequential net = models::d2l_resnet18({.in_channels = 1, .classes = 10});
  const nn::Summary summary = nn::summary(net, {2, 1, 96, 96});
  std::int64_t parameters = 0;
  double layers = 0, stages = 0;
  for (const nn::SummaryRow& row : summary.layers) {
    parameters += row.parameters;
    layers += row.flops;
  }
  for (const nn::SummaryRow& row : summary.stages) stages += row.flops;
  EXPECT_EQ(parameters, summary.parameters);
  EXPECT_EQ(layers, summary.flops);
  EXPECT_NEAR(stages, summary.flops, 1e-9 * summary.flops);
  ASSERT_GT(summary.layers.size(), 10U);
  EXPECT_EQ(summary.layers[4].name, "1.0.conv1");
  EXPECT_EQ(summary.layers[4].kind, "Conv2d");
  EXPECT_EQ(summary.layers[4].parameters, 64 * 64 * 9 + 64);
  EXPECT_EQ(summary.layers[8].kind, "BatchNorm2d");
  EXPECT_EQ(summary.layers[9].kind, "Add");
  EXPECT_EQ(summary.layers[10].kind, "ReLU");
}

// A stage whose first operation has no module of its own.
struct Late : nn::Module {
  nn::Conv2d& conv = add("conv", nn::Conv2d{4, 4, {.padding = 1}});
  Value operator()(Value x) const override { return conv(relu(x)); }
};

TEST(Summary, AStageOwnsAllThatItComputes) {
  nn::Sequential first(nn::Conv2d{4, 4, {.padding = 1}});
  nn::Sequential net(std::move(first), Late{});
  const nn::Summary summary = nn::summary(net, {1, 4, 6, 6});
  EXPECT_EQ(summary.stages[1].flops - summary.stages[0].flops, 4 * 36) << "its ReLU";
}

TEST(Summary, AWeightUsedTwiceCountsOnce) {
  struct Twice : nn::Module {
    nn::Conv2d& conv = add("conv", nn::Conv2d{3, 3, {.padding = 1}});
    Value operator()(Value x) const override { return conv(conv(x)); }
  };
  const nn::Summary summary = nn::summary(Twice{}, {1, 3, 8, 8});
  ASSERT_EQ(summary.layers.size(), 2U);
  EXPECT_EQ(summary.layers[0].parameters + summary.layers[1].parameters, summary.parameters);
  EXPECT_EQ(summary.layers[1].kind, "Conv2d");
}

TEST(Summary, AModuleThatAddsNothingInEvaluationKeepsTheShape) {
  const nn::Summary summary = nn::summary(nn::Sequential(nn::ReLU{}, nn::Dropout{}), {1, 3, 8, 8});
  EXPECT_EQ(summary.stages[1].output, (Shape{1, 3, 8, 8}));
  EXPECT_EQ(summary.stages[1].kind, "Dropout");
}

TEST(Summary, TorchvisionsStagesHaveTheirNames) {
  const nn::Summary summary = nn::summary(models::resnet50({}), {1, 3, 224, 224});
  std::vector<std::string> names;
  for (const nn::SummaryRow& row : summary.stages) names.push_back(row.name);
  EXPECT_THAT(names, testing::ElementsAre("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3",
                                          "layer4", "avgpool", "flatten", "fc"));
  EXPECT_EQ(summary.stages[7].output, (Shape{1, 2048, 7, 7}));
}

}  // namespace
}  // namespace resnet
