// The zoo: names, order, counts and shapes, on the public headers alone.
#include "resnet/models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "resnet/nn.h"

namespace resnet {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> parameter_names(const nn::Module& module) {
  std::vector<std::string> names;
  nn::for_each_parameter(module,
                         [&](const std::string& name, const nn::Parameter&) { names.push_back(name); });
  return names;
}

struct ModelCase {
  const char* name;
  std::size_t tensors;
  std::int64_t parameters;
  std::vector<int> blocks;
  int convolutions;  // of a block
};

class Torchvision : public ::testing::TestWithParam<ModelCase> {};

TEST_P(Torchvision, HasItsParametersAndTensors) {
  const nn::Sequential net = models::make(GetParam().name, {});
  EXPECT_EQ(nn::parameter_count(net), GetParam().parameters);
  EXPECT_EQ(parameter_names(net).size(), GetParam().tensors);
  EXPECT_EQ(net.title(), GetParam().name);
  EXPECT_EQ(net.scheme(), nn::Scheme::torchvision);
}

// The state_dict of torchvision's models, spelled from its rule.
TEST_P(Torchvision, NamesItsTensorsInTheOrderOfTheStateDict) {
  std::vector<std::string> expected;
  const auto norm = [&](const std::string& path) {
    for (const char* name : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})
      expected.push_back(path + "." + name);
  };
  expected.emplace_back("conv1.weight");
  norm("bn1");
  for (std::size_t stage = 0; stage < 4; ++stage) {
    for (int i = 0; i < GetParam().blocks[stage]; ++i) {
      const std::string block = "layer" + std::to_string(stage + 1) + "." + std::to_string(i);
      for (int k = 1; k <= GetParam().convolutions; ++k) {
        expected.push_back(block + ".conv" + std::to_string(k) + ".weight");
        norm(block + ".bn" + std::to_string(k));
      }
      if (i == 0 && (stage > 0 || GetParam().convolutions == 3)) {
        expected.push_back(block + ".downsample.0.weight");
        norm(block + ".downsample.1");
      }
    }
  }
  expected.emplace_back("fc.weight");
  expected.emplace_back("fc.bias");
  EXPECT_EQ(parameter_names(models::make(GetParam().name, {})), expected);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Torchvision,
                         ::testing::Values(ModelCase{"resnet18", 122, 11'689'512, {2, 2, 2, 2}, 2},
                                           ModelCase{"resnet34", 218, 21'797'672, {3, 4, 6, 3}, 2},
                                           ModelCase{"resnet50", 320, 25'557'032, {3, 4, 6, 3}, 3},
                                           ModelCase{"resnet101", 626, 44'549'160, {3, 4, 23, 3}, 3},
                                           ModelCase{"resnet152", 932, 60'192'808, {3, 8, 36, 3}, 3}),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(Chapter, ResNet18HasItsParametersUnderThePyTorchNames) {
  const nn::Sequential net = models::d2l_resnet18({.in_channels = 1, .classes = 10});
  EXPECT_EQ(nn::parameter_count(net), 11'178'378);
  EXPECT_EQ(net.scheme(), nn::Scheme::chapter);
  std::vector<std::string> expected;
  const auto pair = [&](const std::string& path) {
    expected.push_back(path + ".weight");
    expected.push_back(path + ".bias");
  };
  const auto norm = [&](const std::string& path) {
    pair(path);
    for (const char* name : {"running_mean", "running_var", "num_batches_tracked"})
      expected.push_back(path + "." + name);
  };
  pair("0.0");
  norm("0.1");
  for (const std::string stage : {"1", "2", "3", "4"}) {
    for (const std::string& block : {stage + ".0", stage + ".1"}) {
      pair(block + ".conv1");
      pair(block + ".conv2");
      if (stage != "1" && block.ends_with(".0")) pair(block + ".conv3");
      norm(block + ".bn1");
      norm(block + ".bn2");
    }
  }
  pair("7");
  EXPECT_EQ(parameter_names(net), expected);
}

// A network of the chapter's style counts what torchvision's counts, less the norms of the shortcuts
// (two numbers a channel), with a bias for every convolution.
TEST(Chapter, DeeperNetworksDifferFromTorchvisionsByBiasesAndShortcutNormsAlone) {
  for (const std::string depth : {"18", "34", "50", "101", "152"}) {
    const models::ResNetOptions options{.in_channels = 3, .classes = 10};
    const nn::Sequential theirs = models::make("resnet" + depth, options);
    std::int64_t expected = nn::parameter_count(theirs);
    nn::for_each_parameter(theirs, [&](const std::string& name, const nn::Parameter& parameter) {
      if (parameter.shape.rank() == 4) expected += parameter.shape[0];
      if (name.find("downsample.1") != std::string::npos && parameter.kind <= nn::ParameterKind::norm_bias) {
        expected -= parameter.shape.elements();
      }
    });
    EXPECT_EQ(nn::parameter_count(models::make("d2l_resnet" + depth, options)), expected) << depth;
  }
}

TEST(Chapter, BottlenecksPutTheStrideOnTheThreeByThree) {
  const nn::Sequential net = models::d2l_resnet50({.in_channels = 1, .classes = 10});
  std::map<std::string, Shape> shapes;
  for (const nn::SummaryRow& row : nn::summary(net, {1, 1, 224, 224}).layers) shapes[row.name] = row.output;
  EXPECT_EQ(shapes.at("2.0.conv1"), (Shape{1, 128, 56, 56}));
  EXPECT_EQ(shapes.at("2.0.conv2"), (Shape{1, 128, 28, 28}));
  EXPECT_EQ(shapes.at("2.0.conv4"), (Shape{1, 512, 28, 28}));
  EXPECT_EQ(shapes.at("1.0.conv4"), (Shape{1, 256, 56, 56})) << "the first stage widens at its own size";
}

TEST(Models, EveryNameMakesAClassifierOfTheSizeItIsAskedFor) {
  for (const std::string& name : models::names()) {
    const nn::Sequential net = models::make(name, {.in_channels = 2, .classes = 7});
    const graph::Graph graph = nn::trace(net, {1, 2, 32, 32}, Mode::eval);
    EXPECT_EQ(graph.value(graph.output("output")).type.shape, (Shape{1, 7})) << name;
  }
  EXPECT_EQ(models::names().size(), 27U);
}

TEST(Models, EveryParameterAndBufferTakesPartInTheTrainingGraph) {
  for (const std::string& name : models::names()) {
    const nn::Sequential net = models::make(name, {.in_channels = 2, .classes = 7});
    std::vector<std::string> expected;
    nn::for_each_parameter(net, [&](const std::string& path, const nn::Parameter& parameter) {
      if (parameter.kind != nn::ParameterKind::batches_tracked) expected.push_back(path);
    });
    const graph::Graph graph = nn::trace(net, {2, 2, 32, 32}, Mode::train);
    std::vector<std::string> found;
    for (const graph::ValueInfo& value : graph.values()) {
      if (value.role == graph::Role::parameter || value.role == graph::Role::buffer)
        found.push_back(value.name);
    }
    EXPECT_THAT(found, testing::UnorderedElementsAreArray(expected)) << name;
  }
}

TEST(Models, AnyNumberOfStagesWillDo) {
  for (const std::string name : {"d2l_resnet18", "resnet18", "resnet50", "d2l_resnet50"}) {
    const nn::Sequential one =
        models::make(name, {.in_channels = 3, .classes = 10, .blocks = {1}, .channels = {8}});
    const nn::Sequential six = models::make(
        name,
        {.in_channels = 3, .classes = 10, .blocks = {1, 2, 1, 1, 2, 1}, .channels = {8, 8, 12, 16, 16, 24}});
    EXPECT_NO_THROW(nn::trace(one, {2, 3, 32, 32}, Mode::train)) << name;
    EXPECT_NO_THROW(nn::trace(six, {2, 3, 128, 128}, Mode::train)) << name;
  }
  const nn::Sequential widened = models::d2l_resnet18({.in_channels = 1, .classes = 10, .blocks = {1, 1, 1}});
  EXPECT_EQ(nn::summary(widened, {1, 1, 64, 64}).stages[3].output, (Shape{1, 256, 4, 4}));
}

TEST(Models, WhatIsNotGivenIsTheModelsOwn) {
  EXPECT_EQ(nn::parameter_count(models::d2l_resnet18()), 11'178'378);
  EXPECT_EQ(nn::parameter_count(models::resnet18()), 11'689'512);
  EXPECT_EQ(nn::parameter_count(models::d2l_resnet18({.classes = 5})), 11'178'378 - 5 * 513);
}

TEST(Models, TheBlockCanBeExchanged) {
  const nn::Sequential basic = models::resnet50({.block = models::Block::basic});
  EXPECT_EQ(nn::parameter_count(basic), 21'797'672) << "resnet34";
  const nn::Sequential deep = models::resnet34({.block = models::Block::bottleneck});
  EXPECT_EQ(nn::parameter_count(deep), 25'557'032) << "resnet50";
}

TEST(Models, TheSmallStemKeepsTheSize) {
  for (const std::string name : {"d2l_resnet18", "resnet18"}) {
    const nn::Sequential net =
        models::make(name, {.in_channels = 3, .classes = 10, .stem = models::Stem::small});
    const graph::Graph graph = nn::trace(net, {1, 3, 32, 32}, Mode::eval);
    EXPECT_EQ(graph.value(graph.nodes()[0].outputs[0]).type.shape, (Shape{1, 64, 32, 32})) << name;
    for (const graph::Node& node : graph.nodes()) EXPECT_NE(node.op->name(), "max_pool") << name;
  }
}

std::vector<Shape> stage_shapes(const nn::Sequential& net, const Shape& images) {
  std::vector<Shape> shapes;
  for (const nn::SummaryRow& row : nn::summary(net, images).stages) shapes.push_back(row.output);
  return shapes;
}

TEST(Models, EachOfTheFamilyHasTheShapesOfItsStages) {
  for (const std::string name : {"wide_resnet50_2", "resnext50_32x4d", "resnet50d", "seresnet50"}) {
    const std::vector<Shape> shapes = stage_shapes(models::make(name, {}), {1, 3, 106, 90});
    const std::vector<Shape> expected = {{1, 64, 53, 45},  {1, 64, 53, 45},  {1, 64, 53, 45}, {1, 64, 27, 23},
                                         {1, 256, 27, 23}, {1, 512, 14, 12}, {1, 1024, 7, 6}, {1, 2048, 4, 3},
                                         {1, 2048, 1, 1},  {1, 2048},        {1, 1000}};
    EXPECT_EQ(shapes, expected) << name;
  }
  const nn::Summary v2 = nn::summary(models::make("resnetv2_50", {}), {1, 3, 106, 90});
  std::vector<std::string> names;
  std::vector<Shape> shapes;
  for (const nn::SummaryRow& row : v2.stages) {
    names.push_back(row.name);
    shapes.push_back(row.output);
  }
  EXPECT_THAT(names, testing::ElementsAre("stem", "stages.0.blocks", "stages.1.blocks", "stages.2.blocks",
                                          "stages.3.blocks", "norm", "act", "head"));
  EXPECT_THAT(shapes, testing::ElementsAre(Shape{1, 64, 27, 23}, Shape{1, 256, 27, 23}, Shape{1, 512, 14, 12},
                                           Shape{1, 1024, 7, 6}, Shape{1, 2048, 4, 3}, Shape{1, 2048, 4, 3},
                                           Shape{1, 2048, 4, 3}, Shape{1, 1000}));
}

TEST(Models, StridesAndTheStemsChannelsCanBeChosen) {
  const models::ResNetOptions options{.classes = 10,
                                      .blocks = {2, 1, 1},
                                      .channels = {32, 64, 128},
                                      .strides = {2, 1, 3},
                                      .stem = models::Stem::small,
                                      .stem_channels = 16};
  for (const std::string name : {"d2l_resnet18", "resnet18", "resnetv2_18"}) {
    const nn::Sequential net = models::make(name, options);
    std::vector<Shape> shapes;
    const graph::Graph graph = nn::trace(net, {1, name[0] == 'd' ? 1 : 3, 32, 32}, Mode::eval);
    for (const graph::Node& node : graph.nodes()) {
      if (node.op->name() == "add") shapes.push_back(graph.value(node.outputs[0]).type.shape);
    }
    EXPECT_EQ(graph.value(graph.nodes()[0].outputs[0]).type.shape, (Shape{1, 16, 32, 32})) << name;
    EXPECT_THAT(shapes, testing::ElementsAre(Shape{1, 32, 16, 16}, Shape{1, 32, 16, 16}, Shape{1, 64, 16, 16},
                                             Shape{1, 128, 6, 6}))
        << name;
  }
}

TEST(Models, APlainNetworkHasNoSumsAndNoParametersAroundItsBlocks) {
  for (const std::string name : {"d2l_resnet34", "d2l_resnet50", "resnet18", "resnet50d", "resnetv2_50"}) {
    const nn::Sequential plain =
        models::make(name, {.in_channels = 3, .classes = 10, .shortcut = nn::Shortcut::none});
    const graph::Graph graph = nn::trace(plain, {2, 3, 32, 32}, Mode::train);
    for (const graph::Node& node : graph.nodes()) ASSERT_NE(node.op->name(), "add") << name;
    for (const std::string& parameter : parameter_names(plain)) {
      EXPECT_THAT(parameter, testing::Not(HasSubstr("downsample")));
      EXPECT_TRUE(parameter.find("conv4") == std::string::npos || name != "d2l_resnet50") << parameter;
    }
  }
  const auto count = [](std::optional<nn::Shortcut> shortcut) {
    return nn::parameter_count(models::d2l_resnet18({.shortcut = shortcut}));
  };
  EXPECT_EQ(count(nn::Shortcut::conv), 11'178'378);
  EXPECT_EQ(count(nn::Shortcut::none), 11'178'378 - (64 * 128 + 128 + 128 * 256 + 256 + 256 * 512 + 512));
}

TEST(ModelsError, AnUnknownNameIsAnsweredWithTheNearestAndTheList) {
  try {
    models::make("resnet_18", {});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "there is no model 'resnet_18'");
    EXPECT_THAT(error.hint(), HasSubstr("did you mean resnet18?"));
    EXPECT_THAT(error.hint(),
                HasSubstr("There are d2l_resnet18, 34, 50, 101, 152; resnet18, 34, 50, 101, 152; "
                          "wide_resnet50_2, 101_2; resnext50_32x4d, 101_32x8d, 101_64x4d; "
                          "resnet18d, 34d, 50d, 101d; seresnet18, 34, 50; seresnext50_32x4d; "
                          "resnetv2_18, 34, 50, 101"));
    EXPECT_EQ(error.hint().find("..."), std::string::npos) << "all of it";
  }
}

TEST(ModelsError, OptionsThatFitNoNetworkAreRefused) {
  const auto refused = [](const models::ResNetOptions& options) {
    EXPECT_THROW(models::resnet18(options), ConfigError);
  };
  refused({.in_channels = 0});
  refused({.classes = -1});
  refused({.blocks = {2, 0}});
  refused({.blocks = {2, 2}, .channels = {64}});
  refused({.blocks = {2}, .channels = {-64}});
  refused({.channels = {8, 8, 8, 8, 8}});
  refused({.blocks = {1'000'000'000}});
  refused({.strides = {1, 2, 2, 2, 2}});
  refused({.blocks = {2, 2}, .strides = {1}});
  refused({.strides = {1, 0, 2, 2}});
  refused({.stem_channels = 0});
  refused({.groups = 2});  // basic blocks
  refused({.width_per_group = 128});
  refused({.se_reduction = -1});
  refused({.drop_path = 1.0});
  refused({.drop_path = std::numeric_limits<double>::quiet_NaN()});
  refused({.shortcut = nn::Shortcut::none, .drop_path = 0.1});
  EXPECT_THROW(models::resnet50({.groups = 0}), ConfigError);
  EXPECT_THROW(models::resnet50({.groups = 65536}), ConfigError);
  EXPECT_THROW(models::resnet50({.channels = {8, 8, 8, 8}, .width_per_group = 4}), ConfigError);
  for (const models::ResNetOptions& options : {models::ResNetOptions{.groups = 2},
                                               {.se_reduction = 16},
                                               {.preactivation = true},
                                               {.shortcut = nn::Shortcut::avgpool}}) {
    EXPECT_THROW(models::d2l_resnet50(options), ConfigError) << "the chapter's have none of these";
  }
}

}  // namespace
}  // namespace resnet
