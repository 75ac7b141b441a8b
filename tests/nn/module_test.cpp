// Modules on the public headers alone: names, order, moving, a person's own module, errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "ops/dropout.h"
#include "resnet/engine.h"
#include "resnet/model_file.h"
#include "resnet/models.h"
#include "resnet/nn.h"
#include "resnet/weights.h"
#include "support/message_of.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As the documentation shows it.
struct MyBlock : nn::Module {
  nn::Conv2d& conv1 = add("conv1", nn::Conv2d{64, 64, {.kernel = 3, .padding = 1}});
  nn::BatchNorm2d& bn1 = add("bn1", nn::BatchNorm2d{64});
  Value operator()(Value x) const override { return relu(bn1(conv1(x)) + x); }
};

struct OfNothing : nn::Module {
  Value operator()(Value x) const override {
    parameter_value(x.builder(), 0);
    return x;
  }
};

std::vector<std::string> parameter_names(const nn::Module& module) {
  std::vector<std::string> names;
  nn::for_each_parameter(module,
                         [&](const std::string& name, const nn::Parameter&) { names.push_back(name); });
  return names;
}

Shape output_shape(const nn::Module& module, const Shape& images, Mode mode = Mode::eval) {
  const graph::Graph graph = nn::trace(module, images, mode);
  return graph.value(graph.output("output")).type.shape;
}

std::vector<std::string> node_names(const graph::Graph& graph) {
  std::vector<std::string> names;
  for (const graph::Node& node : graph.nodes()) names.push_back(node.name);
  return names;
}

TEST(Module, NamesAreThoseOfTheStateDictInItsOrder) {
  const nn::Sequential net(nn::Conv2d{3, 4}, nn::BatchNorm2d{4}, nn::ReLU{},
                           nn::Conv2d{4, 4, {.bias = false}});
  EXPECT_THAT(parameter_names(net), ElementsAre("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean",
                                                "1.running_var", "1.num_batches_tracked", "3.weight"));
}

TEST(Module, AResidualDeclaresItsPartsInTheChaptersOrder) {
  const std::vector<std::string> plain = parameter_names(nn::Residual{3, 3});
  EXPECT_EQ(plain.size(), 14U);
  const nn::Residual block{3, 6, {.use_1x1conv = true, .stride = 2}};
  std::vector<std::string> children;
  for (const nn::Module::Child& child : block.children()) children.push_back(child.name);
  EXPECT_THAT(children, ElementsAre("conv1", "conv2", "conv3", "bn1", "bn2"));
}

TEST(Module, TorchvisionsBlocksDeclareNormsBesideTheirConvolutions) {
  EXPECT_THAT(
      parameter_names(nn::BasicBlock(4, 8, {.stride = 2})),
      ElementsAre("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
                  "bn1.num_batches_tracked", "conv2.weight", "bn2.weight", "bn2.bias", "bn2.running_mean",
                  "bn2.running_var", "bn2.num_batches_tracked", "downsample.0.weight", "downsample.1.weight",
                  "downsample.1.bias", "downsample.1.running_mean", "downsample.1.running_var",
                  "downsample.1.num_batches_tracked"));
  EXPECT_EQ(parameter_names(nn::BasicBlock(8, 8)).size(), 12U);
  EXPECT_EQ(parameter_names(nn::Bottleneck(32, 8)).size(), 18U);
  EXPECT_EQ(parameter_names(nn::Bottleneck(8, 8)).size(), 24U) << "a first bottleneck widens its shortcut";
}

TEST(Module, ParametersHavePyTorchsShapes) {
  std::vector<Shape> shapes;
  nn::for_each_parameter(
      nn::Conv2d{6, 4, {.kernel = {3, 5}, .groups = 2}},
      [&](const std::string&, const nn::Parameter& parameter) { shapes.push_back(parameter.shape); });
  EXPECT_EQ(shapes, (std::vector<Shape>{{4, 3, 3, 5}, {4}}));
  shapes.clear();
  nn::for_each_parameter(
      nn::Linear{5, 7, {.bias = false}},
      [&](const std::string&, const nn::Parameter& parameter) { shapes.push_back(parameter.shape); });
  EXPECT_EQ(shapes, (std::vector<Shape>{{7, 5}}));
}

TEST(Module, AResidualKeepsOrHalvesTheMap) {
  EXPECT_EQ(output_shape(nn::Residual{3, 3}, {4, 3, 6, 6}), (Shape{4, 3, 6, 6}));
  EXPECT_EQ(output_shape(nn::Residual{3, 6, {.use_1x1conv = true, .stride = 2}}, {4, 3, 6, 6}),
            (Shape{4, 6, 3, 3}));
}

TEST(Module, ShapesFollowPyTorchsRules) {
  const Shape images{2, 4, 11, 7};
  EXPECT_EQ(output_shape(nn::Conv2d{4, 6, {.kernel = {3, 1}, .stride = {2, 3}, .padding = {1, 0}}}, images),
            (Shape{2, 6, 6, 3}));
  EXPECT_EQ(output_shape(nn::Conv2d{4, 6, {.kernel = 3, .dilation = 3, .groups = 2}}, images),
            (Shape{2, 6, 5, 1}));
  EXPECT_EQ(output_shape(nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, images),
            (Shape{2, 4, 6, 4}));
  EXPECT_EQ(output_shape(nn::AvgPool2d{}, images), (Shape{2, 4, 5, 3}));
  EXPECT_EQ(output_shape(nn::AvgPool2d{{.kernel = 3}}, images), (Shape{2, 4, 3, 2})) << "by its kernel";
  EXPECT_EQ(output_shape(nn::GlobalAvgPool2d{}, images), (Shape{2, 4, 1, 1}));
  EXPECT_EQ(output_shape(nn::Flatten{}, images), (Shape{2, 308}));
  EXPECT_EQ(output_shape(nn::Sequential(nn::Flatten{}, nn::Linear{308, 10}), images), (Shape{2, 10}));
}

TEST(Module, APersonsOwnModuleWorksAfterItMoves) {
  nn::Sequential net(nn::Conv2d{3, 64}, MyBlock{}, nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{64, 10});
  nn::Sequential moved = std::move(net);
  net = nn::Sequential();
  EXPECT_EQ(output_shape(moved, {2, 3, 8, 8}), (Shape{2, 10}));
  EXPECT_THAT(parameter_names(moved), testing::Contains("1.conv1.weight"));
  EXPECT_THAT(node_names(nn::trace(moved, {2, 3, 8, 8}, Mode::eval)),
              ElementsAre("0", "1.conv1", "1.bn1", "1.add", "1.relu", "2", "3", "4"));
}

TEST(Module, APersonsOwnModuleComputesWhatItSays) {
  MyBlock block;
  nn::init(block, nn::Scheme::chapter, 1);
  nn::for_each_parameter(block, [](const std::string&, nn::Parameter& parameter) {  // f = 0: relu(x)
    if (parameter.kind == nn::ParameterKind::norm_weight) parameter.value = Tensor(parameter.shape);
  });
  Tensor x = random_uniform({2, 64, 5, 5}, 7);
  for (float& value : x.values()) value -= 0.5F;
  const Tensor y = forward(block, x);
  ASSERT_EQ(y.shape(), x.shape());
  for (std::size_t i = 0; i < x.values().size(); ++i) {
    ASSERT_EQ(y.values()[i], std::max(x.values()[i], 0.0F)) << "at " << i;
  }
}

// The chapter's block without its shortcut: f(x) alone, under the same names.
struct Plain : nn::Module {
  nn::Conv2d& conv1 = add("conv1", nn::Conv2d{6, 6, {.padding = 1}});
  nn::Conv2d& conv2 = add("conv2", nn::Conv2d{6, 6, {.padding = 1}});
  nn::BatchNorm2d& bn1 = add("bn1", nn::BatchNorm2d{6});
  nn::BatchNorm2d& bn2 = add("bn2", nn::BatchNorm2d{6});
  Value operator()(Value x) const override { return relu(bn2(conv2(relu(bn1(conv1(x)))))); }
};

TEST(Module, AResidualWhoseLastAffineIsZeroIsTheIdentityAndThePlainBlockIsNot) {
  nn::Residual block{6, 6};
  nn::init(block, nn::Scheme::chapter, 4);
  nn::for_each_parameter(block, [](const std::string& name, nn::Parameter& parameter) {
    if (name == "bn2.weight" || name == "bn2.bias") parameter.value = Tensor(parameter.shape);
  });
  Plain plain;
  set_state(plain, state_of(block));
  const Tensor x = random_uniform({3, 6, 7, 5}, 8);  // in [0, 1)
  for (const Mode mode : {Mode::train, Mode::eval}) {
    const Tensor residual = forward(block, x, mode);
    const Tensor without = forward(plain, x, mode);
    ASSERT_EQ(residual.shape(), x.shape());
    for (std::size_t i = 0; i < x.values().size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(residual.values()[i]),
                std::bit_cast<std::uint32_t>(x.values()[i]))
          << "at " << i;
      ASSERT_EQ(without.values()[i], 0.0F) << "at " << i;  // and x is not zero
    }
  }
}

TEST(Module, APersonsOwnModuleTrainsSavesAndLoads) {
  nn::Sequential net(nn::Conv2d{1, 64}, MyBlock{}, nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{64, 2});
  nn::init(net, nn::Scheme::chapter, 1);
  const Tensor images = random_uniform({4, 1, 8, 8}, 3);
  Tensor labels(Shape{4}, DType::i32);
  labels.view<std::int32_t>()[1] = labels.view<std::int32_t>()[3] = 1;
  const auto engine = make_native_engine(network_of(net, images.shape()), {.threads = 1});
  const auto step = [&] { return engine->step(images.view<float>(), labels.view<std::int32_t>(), {0.05F}); };
  const double before = step().loss_sum;
  for (int i = 0; i < 20; ++i) step();
  EXPECT_LT(step().loss_sum, before);

  set_state(net, engine->state());
  const Tensor ours = forward(net, images);
  const ScratchFolder folder;
  const ModelFile file{state_of(net), nn::trace(net, images.shape(), Mode::eval), {}, {"even", "odd"}};
  save_model(folder / "own.safetensors", file);

  nn::Sequential other(nn::Conv2d{1, 64}, MyBlock{}, nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{64, 2});
  load_weights(other, folder / "own.safetensors");
  EXPECT_THAT(forward(other, images).values(), testing::ElementsAreArray(ours.values()));
  // The file alone evaluates it, without the C++ of MyBlock.
  Model model = load_model(folder / "own.safetensors");
  EXPECT_THAT(model.infer(images.view<float>()).values(), testing::ElementsAreArray(ours.values()));
}

// Modules without parameters may be called where they are written.
struct Pooled : nn::Module {
  nn::Conv2d& conv = add("conv", nn::Conv2d{3, 4});
  Value operator()(Value x) const override {
    return nn::Flatten{}(nn::MaxPool2d{{.kernel = 2}}(nn::ReLU{}(conv(x))));
  }
};

TEST(Module, ModulesWithoutParametersMayBeTemporary) {
  nn::Sequential net;
  net.push_back("head", Pooled{});
  const graph::Graph graph = nn::trace(net, {1, 3, 8, 8}, Mode::train);
  EXPECT_THAT(node_names(graph), ElementsAre("head.conv", "head.ReLU", "head.MaxPool2d", "head.Flatten"));
}

struct Forgetful : nn::Module {
  Value operator()(Value x) const override { return nn::Conv2d{3, 4}(x); }
};

TEST(Module, ATemporaryWithParametersIsRefused) {
  EXPECT_THAT(message_of<ConfigError>([] {
                nn::trace(Forgetful{}, {1, 3, 8, 8}, Mode::eval);
              }),
              HasSubstr("a Conv2d with parameters is called without being part of the network"));
}

// The same weights at two places, as recurrent networks have them.
struct Twice : nn::Module {
  nn::Conv2d& conv = add("conv", nn::Conv2d{3, 3, {.padding = 1}});
  nn::Dropout& drop = add("drop", nn::Dropout{0.5});
  Value operator()(Value x) const override { return drop(conv(drop(conv(x)))); }
};

TEST(Module, AModuleCalledTwiceSharesItsWeightsButNotItsRandomNumbers) {
  const graph::Graph graph = nn::trace(Twice{}, {1, 3, 8, 8}, Mode::train);
  EXPECT_EQ(graph.with_role(graph::Role::parameter).size(), 2U);
  std::set<std::uint64_t> layers;
  for (const graph::Node& node : graph.nodes()) {
    if (const auto* dropout = ops::as<ops::Dropout>(node)) layers.insert(dropout->options().layer);
  }
  EXPECT_EQ(layers.size(), 2U);
}

struct NormTwice : nn::Module {
  nn::BatchNorm2d& norm = add("norm", nn::BatchNorm2d{3});
  Value operator()(Value x) const override { return norm(norm(x)); }
};

TEST(Module, ANormCalledTwiceIsRefusedInTrainingOnly) {
  EXPECT_EQ(output_shape(NormTwice{}, {2, 3, 8, 8}), (Shape{2, 3, 8, 8}));
  EXPECT_THAT(message_of<ConfigError>([] {
                nn::trace(NormTwice{}, {2, 3, 8, 8}, Mode::train);
              }),
              HasSubstr("BatchNorm2d 'norm' is called twice"));
}

// timm: rate * block / (blocks - 1).
TEST(Models, DropPathRisesLinearlyAndIsThereInTrainingAlone) {
  const std::vector<std::pair<std::string, std::int64_t>> nets = {
      {"d2l_resnet18", 1}, {"resnet18", 3}, {"resnetv2_18", 3}};
  for (const auto& [name, channels] : nets) {
    const nn::Sequential net = models::make(name, {.blocks = {2, 3}, .drop_path = 0.4});
    std::vector<double> rates;
    const graph::Graph training = nn::trace(net, {2, channels, 32, 32}, Mode::train);
    for (const graph::Node& node : training.nodes()) {
      const auto* dropout = ops::as<ops::Dropout>(node);
      if (dropout == nullptr) continue;
      EXPECT_TRUE(dropout->options().per_example);
      rates.push_back(dropout->options().p);
    }
    EXPECT_THAT(rates, testing::ElementsAre(testing::DoubleEq(0.1), testing::DoubleEq(0.2),
                                            testing::DoubleEq(0.4 * 3 / 4), testing::DoubleEq(0.4)))
        << name;
    const graph::Graph evaluation = nn::trace(net, {2, channels, 32, 32}, Mode::eval);
    for (const graph::Node& node : evaluation.nodes())
      EXPECT_EQ(ops::as<ops::Dropout>(node), nullptr) << name;
  }
}

TEST(Module, DropoutIsThereInTrainingOnly) {
  const nn::Sequential net(nn::Conv2d{3, 4}, nn::Dropout{0.1});
  EXPECT_EQ(nn::trace(net, {1, 3, 8, 8}, Mode::train).nodes().size(), 2U);
  EXPECT_EQ(nn::trace(net, {1, 3, 8, 8}, Mode::eval).nodes().size(), 1U);
}

TEST(Module, TrainingUpdatesTheRunningStatisticsAndEvaluationDoesNot) {
  const nn::Sequential net(nn::Conv2d{3, 4}, nn::BatchNorm2d{4});
  EXPECT_EQ(nn::trace(net, {2, 3, 8, 8}, Mode::train).updates().size(), 2U);
  EXPECT_TRUE(nn::trace(net, {2, 3, 8, 8}, Mode::eval).updates().empty());
}

// The block that adds names the node, whichever operand comes first.
struct SkipFirst : nn::Module {
  nn::Conv2d& conv = add("conv", nn::Conv2d{4, 4, {.padding = 1}});
  Value operator()(Value x) const override { return x + conv(x); }
};

TEST(Module, AnAdditionIsNamedAfterItsOwnBlock) {
  const nn::Sequential net(nn::Sequential(SkipFirst{}, SkipFirst{}),
                           nn::Sequential(nn::BasicBlock(4, 8, {.stride = 2})));
  const std::vector<std::string> names = node_names(nn::trace(net, {1, 4, 8, 8}, Mode::eval));
  EXPECT_THAT(names, testing::IsSupersetOf({"0.0.add", "0.1.add", "1.0.add"}));
}

TEST(ModuleError, NamesTheModuleAndTheShapes) {
  nn::Sequential stage;
  stage.push_back("conv1", nn::Conv2d{64, 64, {.kernel = 3, .padding = 1}});
  nn::Sequential stages;
  stages.push_back(std::move(stage));
  nn::Sequential net;
  net.push_back("layer3", std::move(stages));
  const std::string message = message_of<ShapeError>([&] { nn::trace(net, {128, 32, 16, 16}, Mode::eval); });
  EXPECT_THAT(message, HasSubstr("conv2d 'layer3.0.conv1': expected 64 input channels, got 32"));
  EXPECT_THAT(message, HasSubstr("(x = [128,32,16,16], w = [64,64,3,3], b = [64])"));
}

TEST(ModuleError, AModuleByItselfIsNamedByItsClass) {
  EXPECT_THAT(message_of<ShapeError>([] {
                nn::trace(nn::Conv2d{3, 4}, {1, 5, 8, 8}, Mode::eval);
              }),
              HasSubstr("conv2d 'Conv2d': expected 3 input channels, got 5"));
}

TEST(ModuleError, AStrideWithoutItsShortcutDoesNotAdd) {
  EXPECT_THAT(message_of<ShapeError>([] {
                nn::trace(nn::Residual{3, 3, {.stride = 2}}, {4, 3, 6, 6}, Mode::eval);
              }),
              HasSubstr("add 'add'"));
}

TEST(ModuleError, ImpossibleOptionsAreRefusedWhereTheyAreWritten) {
  EXPECT_THROW(nn::Conv2d(0, 4), ConfigError);
  EXPECT_THROW(nn::Conv2d(4, 4, {.kernel = 0}), ConfigError);
  EXPECT_THROW(nn::Conv2d(4, 4, {.stride = {1, 0}}), ConfigError);
  EXPECT_THROW(nn::Conv2d(4, 4, {.padding = -1}), ConfigError);
  EXPECT_THROW(nn::Conv2d(4, 4, {.dilation = 0}), ConfigError);
  EXPECT_THROW(nn::Conv2d(4, 6, {.groups = 4}), ConfigError);
  EXPECT_THROW(nn::BatchNorm2d(0), ConfigError);
  EXPECT_THROW(nn::BatchNorm2d(4, {.momentum = 1.5}), ConfigError);
  for (const double eps : {0.0, -1e-5, 1e-300, 1e300, std::nan("")}) {
    EXPECT_THROW(nn::BatchNorm2d(4, {.eps = eps}), ConfigError) << eps;
  }
  EXPECT_THROW(nn::MaxPool2d({.kernel = {2, 4}, .padding = {2, 1}}), ConfigError);
  EXPECT_THROW(nn::MaxPool2d({.kernel = {4, 2}, .padding = {1, 2}}), ConfigError);
  EXPECT_THROW(nn::AvgPool2d({.kernel = 2, .stride = 0}), ConfigError);
  EXPECT_THROW(nn::Linear(3, 0), ConfigError);
  EXPECT_THROW(nn::Dropout(1.0), ConfigError);
}

TEST(ModuleError, AParameterThatWasNotAddedIsRefused) {
  EXPECT_THAT(message_of<ConfigError>([] {
                nn::trace(OfNothing{}, {1, 1, 4, 4}, Mode::eval);
              }),
              HasSubstr("has 0 parameters, and none 0"));
}

TEST(ModuleError, ChildrenNeedNamesOfTheirOwnWithoutDots) {
  nn::Sequential net;
  net.push_back("conv", nn::ReLU{});
  EXPECT_THROW(net.push_back("conv", nn::ReLU{}), ConfigError);
  EXPECT_THROW(net.push_back("a.b", nn::ReLU{}), ConfigError);
  EXPECT_THROW(net.push_back("", nn::ReLU{}), ConfigError);
}

TEST(Sequential, IsIndexedAndNumbered) {
  nn::Sequential net(nn::ReLU{}, nn::Flatten{});
  net.push_back(nn::Linear{4, 2});
  ASSERT_EQ(net.size(), 3U);
  EXPECT_EQ(net[1].kind(), "Flatten");
  EXPECT_EQ(net.children()[2].name, "2");
  EXPECT_THROW(net[3], ConfigError);
}

static_assert(!std::is_copy_constructible_v<nn::Conv2d>);
static_assert(std::is_nothrow_move_constructible_v<nn::Residual>);
static_assert(std::is_nothrow_move_constructible_v<MyBlock>);

}  // namespace
}  // namespace resnet
