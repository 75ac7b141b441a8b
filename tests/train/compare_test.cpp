#include "resnet/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include "engine/interpreter.h"
#include "graph/names.h"
#include "io/safetensors.h"
#include "support/message_of.h"
#include "support/networks.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

using ::testing::HasSubstr;

ModelFile model_of_zoo(const std::string& name) {
  const nn::Sequential net =
      test::random_network(name, {.in_channels = 3, .classes = 5, .blocks = {1, 2}, .channels = {8, 16}});
  return {state_of(net), nn::trace(net, {1, 3, 32, 32}, Mode::eval), {.channels = 3}, {}};
}

Tensor tensor_of(const Shape& shape, const std::vector<double>& values) {
  Tensor tensor(shape);
  std::ranges::transform(values, tensor.values().begin(), [](double x) { return static_cast<float>(x); });
  return tensor;
}

// What each node gives, in double, as hooks in another program would write it: of one name the last.
State activations_of(const ModelFile& model, const Tensor& input) {
  graph::Graph graph = model.graph.reshaped({{graph::kImages, input.shape()}});
  std::map<std::string, graph::ValueId> by_name;
  for (const graph::Node& node : graph.nodes()) by_name[node.name] = node.outputs[0];
  for (const auto& [name, id] : by_name) graph.add_output("node " + name, id);
  engine::NamedValues state;
  for (const auto& [name, tensor] : model.state) {
    if (tensor.dtype() == DType::f32) state[name] = {tensor.values().begin(), tensor.values().end()};
  }
  const engine::NamedValues values =
      engine::interpret(graph, {{graph::kImages, {input.values().begin(), input.values().end()}}}, state);
  State result = {{"input", input}};
  for (const auto& [name, id] : by_name)
    result.emplace_back(name, tensor_of(graph.value(id).type.shape, values.at("node " + name)));
  return result;
}

Tensor& find(State& state, const std::string& name) {
  return std::ranges::find(state, name, &State::value_type::first)->second;
}

class CompareZoo : public ::testing::TestWithParam<std::string> {};

TEST_P(CompareZoo, EveryLayerAgreesWithAReferenceInDouble) {
  const ModelFile model = model_of_zoo(GetParam());
  const State activations = activations_of(model, random_uniform({2, 3, 32, 32}, 1));
  const Comparison found = compare_layers(model, activations);
  EXPECT_EQ(found.layers.size() + 1, activations.size());
  EXPECT_TRUE(found.unknown.empty());
  for (const LayerComparison& layer : found.layers) {
    EXPECT_FALSE(layer.differs()) << layer.name << ": " << layer.fault;
    EXPECT_LT(layer.tolerance, 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, CompareZoo,
                         ::testing::Values("d2l_resnet18", "resnet18", "resnet50d", "seresnet50",
                                           "resnetv2_50"));

TEST(Compare, NamesTheFirstLayerThatDiffers) {
  ModelFile model = model_of_zoo("resnet18");
  const State activations = activations_of(model, random_uniform({2, 3, 32, 32}, 1));
  find(model.state, "layer2.0.conv2.weight").values()[7] += 0.1F;
  const Comparison found = compare_layers(model, activations);
  const auto first = std::ranges::find_if(found.layers, &LayerComparison::differs);
  ASSERT_NE(first, found.layers.end());
  EXPECT_EQ(first->name, "layer2.0.conv2");
  EXPECT_THAT(first->fault, HasSubstr("they differ by"));
  EXPECT_TRUE(found.layers.back().differs());  // all that comes of it
}

TEST(Compare, TakesContainersAndTheOutputByName) {
  const ModelFile model = model_of_zoo("resnet18");
  State activations = activations_of(model, random_uniform({1, 3, 32, 32}, 1));
  State chosen = {activations[0],
                  {"output", find(activations, "fc")},
                  {"layer1", find(activations, "layer1.0.relu")},
                  {"layer1.0", find(activations, "layer1.0.relu")},
                  {"layer9.act", Tensor({3})}};
  const Comparison found = compare_layers(model, chosen);
  ASSERT_EQ(found.layers.size(), 3U);
  EXPECT_EQ(found.layers.back().name, "output");  // in the order of computing
  for (const LayerComparison& layer : found.layers)
    EXPECT_FALSE(layer.differs()) << layer.name << layer.fault;
  EXPECT_EQ(found.unknown, std::vector<std::string>{"layer9.act"});
}

TEST(Compare, SaysWhatOtherwiseDoesNotFit) {
  const ModelFile model = model_of_zoo("resnet18");
  const State activations = activations_of(model, random_uniform({1, 3, 32, 32}, 1));
  const auto fault_of_conv1 = [&](Tensor conv1) {
    const auto layer = compare_layers(model, {activations[0], {"conv1", std::move(conv1)}}).layers.at(0);
    EXPECT_EQ(std::isnan(layer.absolute), layer.differs()) << "nothing was measured";
    EXPECT_EQ(std::isnan(layer.relative), layer.differs());
    return layer.fault;
  };
  State copy = activations;
  Tensor conv1 = find(copy, "conv1");
  EXPECT_EQ(fault_of_conv1(conv1), "");
  conv1.values()[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(fault_of_conv1(conv1), HasSubstr("not finite"));
  EXPECT_THAT(fault_of_conv1(Tensor({1, 8, 16, 15})), HasSubstr("its shape is [1,8,16,16] here"));
  EXPECT_THAT(fault_of_conv1(Tensor({1, 8, 16, 16}, DType::i32)), HasSubstr("it is i32 there"));
  Tensor doubles({1, 8, 16, 16}, DType::f64);
  std::ranges::copy(find(copy, "conv1").values(), doubles.view<double>().data);
  EXPECT_EQ(fault_of_conv1(doubles), "");
}

TEST(Compare, RefusesAFileWithoutInputOrLayers) {
  const ModelFile model = model_of_zoo("resnet18");
  const ScratchFolder folder;
  const auto error_of = [&](const State& activations) {
    io::write_safetensors(folder / "a.safetensors", activations);
    return test::message_of<FormatError>([&] { compare_layers(model, folder / "a.safetensors"); });
  };
  std::ofstream(folder / "net.pth", std::ios::binary) << "PK\3\4........................data.pkl";
  try {
    compare_layers(model, folder / "net.pth");
    ADD_FAILURE() << "weights were compared";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.hint(), HasSubstr("docs/compare.md has the script"));
  }
  EXPECT_THAT(error_of({{"conv1", Tensor({1})}}),
              HasSubstr("a.safetensors: a reference has the network's 'input'"));
  EXPECT_THAT(error_of({{"input", Tensor({1, 3, 32, 32})}, {"x", Tensor({1})}}),
              HasSubstr("no output of a module"));
  EXPECT_THAT(error_of({{"input", Tensor({1, 4, 32, 32})}, {"conv1", Tensor({1})}}),
              HasSubstr("a.safetensors: "));
}

}  // namespace
}  // namespace resnet
