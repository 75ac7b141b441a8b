// Graphs as modules build them: names, errors, other shapes, updates.
#include "resnet/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>

#include "resnet/nn.h"
#include "support/message_of.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::Role;
using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

nn::Sequential small_net() {
  return nn::Sequential(nn::Conv2d{3, 4, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{4}, nn::ReLU{},
                        nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 10});
}

std::vector<std::string> names_of(const Graph& graph, Role role) {
  std::vector<std::string> names;
  for (const graph::ValueId id : graph.with_role(role)) names.push_back(graph.value(id).name);
  return names;
}

TEST(Graph, HoldsInputsAndStateByNameInTheOrderOfAdding) {
  const Graph graph = nn::trace(small_net(), {2, 3, 8, 8}, Mode::train);
  EXPECT_THAT(names_of(graph, Role::input), ElementsAre("images"));
  EXPECT_THAT(names_of(graph, Role::parameter),
              ElementsAre("0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias"));
  EXPECT_THAT(names_of(graph, Role::buffer), ElementsAre("1.running_mean", "1.running_var"));
  EXPECT_EQ(graph.value(graph.input("images")).type, (graph::ValueType{Shape{2, 3, 8, 8}}));
  EXPECT_EQ(graph.value(graph.output("output")).type, (graph::ValueType{Shape{2, 10}}));
  EXPECT_EQ(message_of<FormatError>([&] { graph.input("0.weight"); }), "the graph has no input '0.weight'");
  EXPECT_EQ(message_of<FormatError>([&] { graph.output("logits"); }), "the graph has no output 'logits'");
}

TEST(Graph, NodesComeBehindWhatTheyRead) {
  const Graph graph = nn::trace(small_net(), {2, 3, 8, 8}, Mode::train);
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    for (const graph::ValueId id : graph.nodes()[i].inputs) {
      if (id != graph::kNone) EXPECT_LT(graph.value(id).producer, static_cast<std::int32_t>(i));
    }
  }
}

TEST(Graph, GivesTheSameValueForANameAndTypeThatItHas) {
  Graph graph;
  const graph::ValueId weight = graph.add_state(Role::parameter, "w", {Shape{2, 3}});
  EXPECT_EQ(graph.add_state(Role::parameter, "w", {Shape{2, 3}}), weight);
  const graph::ValueId images = graph.add_input("x", {Shape{1, 3}});
  EXPECT_EQ(graph.add_input("x", {Shape{1, 3}}), images);
  EXPECT_EQ(graph.values().size(), 2U);
  EXPECT_EQ(message_of<ShapeError>([&] {
              graph.add_state(Role::parameter, "w", {Shape{3, 2}});
            }),
            "'w' is used both as [2,3] and as [3,2]");
  EXPECT_THROW(graph.add_state(Role::buffer, "w", {Shape{2, 3}}), ShapeError);
  EXPECT_THROW(graph.add_state(Role::parameter, "w", {Shape{2, 3}, DType::f64}), ShapeError);
  EXPECT_THROW(graph.add_input("w", {Shape{2, 3}}), ShapeError);
}

TEST(Graph, NamesOfOutputsAreUnique) {
  Graph graph;
  const graph::ValueId x = graph.add_input("x", {Shape{2}});
  const graph::ValueId y = graph.add_input("y", {Shape{3}});
  graph.add_output("output", x);
  EXPECT_EQ(message_of<FormatError>([&] { graph.add_output("output", y); }),
            "two outputs are called 'output'");
  EXPECT_EQ(graph.output("output"), x);
  EXPECT_EQ(graph.outputs().size(), 1U);
}

TEST(Graph, AnUpdateHasTheTypeOfItsState) {
  Graph graph;
  const graph::ValueId state = graph.add_state(Role::buffer, "mean", {Shape{4}});
  const graph::ValueId value = graph.add_input("x", {Shape{5}});
  EXPECT_EQ(message_of<ShapeError>([&] { graph.add_update(state, value); }),
            "update of 'mean': expected [4], got [5]");
  EXPECT_TRUE(graph.updates().empty());
}

TEST(Graph, AnErrorOfANodeNamesItAndEveryShape) {
  const std::string channels = message_of<ShapeError>([] {
    nn::trace(small_net(), {2, 1, 8, 8}, Mode::eval);
  });
  EXPECT_THAT(channels, StartsWith("conv2d '0': "));
  EXPECT_THAT(channels, HasSubstr("(x = [2,1,8,8], w = [4,3,3,3], b = [4])"));
  const nn::Sequential wide(nn::Flatten{}, nn::Linear{4, 10});
  const std::string features = message_of<ShapeError>([&] { nn::trace(wide, {2, 3, 2, 2}, Mode::eval); });
  EXPECT_THAT(features, StartsWith("linear '1': "));
  EXPECT_THAT(features, HasSubstr("x = [2,12], w = [10,4]"));
  EXPECT_EQ(features.find('\n'), std::string::npos);
}

TEST(Graph, ReshapedIsWhatTracingAtThatShapeGives) {
  for (const Mode mode : {Mode::train, Mode::eval}) {
    const Graph graph = nn::trace(small_net(), {2, 3, 8, 8}, mode);
    for (const Shape& images : {Shape{7, 3, 8, 8}, Shape{2, 3, 5, 11}, Shape{2, 3, 8, 8}}) {
      const Graph traced = nn::trace(small_net(), images, mode);
      const Graph reshaped = graph.reshaped({{"images", images}});
      EXPECT_EQ(graph::to_json(reshaped), graph::to_json(traced)) << images;
      ASSERT_EQ(reshaped.updates().size(), traced.updates().size());
      for (std::size_t i = 0; i < traced.updates().size(); ++i) {
        EXPECT_EQ(reshaped.value(reshaped.updates()[i].state).name,
                  traced.value(traced.updates()[i].state).name);
      }
    }
  }
}

TEST(Graph, ReshapedToWhatTheNetworkCannotTakeNamesTheNode) {
  const Graph graph = nn::trace(small_net(), {2, 3, 8, 8}, Mode::eval);
  EXPECT_THAT(message_of<ShapeError>([&] {
                graph.reshaped({{"images", Shape{2, 4, 8, 8}}});
              }),
              StartsWith("conv2d '0': "));
  EXPECT_EQ(graph::to_json(graph.reshaped({{"pictures", Shape{1, 1, 1, 1}}})), graph::to_json(graph));
}

TEST(Graph, WithoutUpdatesIsTheSameNetworkThatLeavesTheStateAlone) {
  const Graph graph = nn::trace(small_net(), {2, 3, 8, 8}, Mode::train);
  ASSERT_FALSE(graph.updates().empty());
  const Graph fixed = graph.without_updates();
  EXPECT_TRUE(fixed.updates().empty());
  EXPECT_EQ(graph::to_json(fixed), graph::to_json(graph));
  EXPECT_EQ(nn::trace(small_net(), {2, 3, 8, 8}, Mode::eval).updates().size(), 0U);
}

TEST(Graph, IsListedALineANode) {
  const nn::Sequential net(nn::Conv2d{3, 4, {.kernel = 3, .bias = false}}, nn::ReLU{});
  EXPECT_EQ(to_string(nn::trace(net, {2, 3, 8, 8}, Mode::eval)),
            "%2 [2,4,6,6] = conv2d('images', '0.weight', -)  0\n"
            "%3 [2,4,6,6] = relu(%2)  1\n"
            "output output = %3\n");
}

// Names of 16 bytes and one hash: of MurmurHash64A with the seed that libstdc++ gives it.
std::vector<std::string> of_one_hash(std::size_t count) {
  constexpr std::uint64_t kMul = 0xc6a4a7935bd1e995, kAny = 12345;
  std::uint64_t inverse = 1;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kMul * inverse;
  const auto mix = [](std::uint64_t v) { return v ^ (v >> 47U); };
  const std::uint64_t begin = 0xc70f6907 ^ (16 * kMul);
  std::vector<std::string> names;
  for (std::uint64_t first = 1; names.size() < count; ++first) {
    const std::uint64_t after = (begin ^ (mix(first * kMul) * kMul)) * kMul;
    const std::uint64_t second = mix((after ^ kAny) * inverse) * inverse;
    std::string name(2 * sizeof first, '\0');
    std::memcpy(name.data(), &first, sizeof first);
    std::memcpy(name.data() + sizeof first, &second, sizeof second);
    names.push_back(name);
  }
  return names;
}

TEST(Graph, NamesOfOneHashTakeNoLonger) {
  const std::vector<std::string> names = of_one_hash(30000);
#ifdef __GLIBCXX__
  ASSERT_EQ(std::hash<std::string>{}(names[0]), std::hash<std::string>{}(names[1]));
#endif
  const auto start = std::chrono::steady_clock::now();
  Graph graph;
  for (const std::string& name : names) graph.add_state(Role::parameter, name, {Shape{2}});
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 1.0);
}

TEST(Graph, SaysWhichRolesOneNameHas) {
  Graph graph;
  graph.add_state(Role::parameter, "w", {Shape{2, 3}});
  const std::string said = message_of<ShapeError>([&] { graph.add_state(Role::buffer, "w", {Shape{2, 3}}); });
  EXPECT_THAT(said, HasSubstr("parameter f32 [2,3] and as buffer f32 [2,3]"));
}

}  // namespace
}  // namespace resnet
