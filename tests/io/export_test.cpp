// Folded norms, numbers of 16 bits, and safetensors of them.
#include "resnet/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/json.h"
#include "graph/names.h"
#include "io/fold_norms.h"
#include "io/folder_test.h"
#include "io/half.h"
#include "io/safetensors.h"
#include "ops/add.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "support/message_of.h"
#include "support/networks.h"

namespace resnet {
namespace {

using ::testing::HasSubstr;

class ExportTest : public FolderTest {};

ModelFile small_model(const std::string& name = "resnet18") {
  const nn::Sequential net =
      test::random_network(name, {.in_channels = 3, .classes = 5, .blocks = {1, 1}, .channels = {8, 16}});
  return {state_of(net), nn::trace(net, {1, 3, 32, 32}, Mode::eval), {.channels = 3}, {"a", "b"}};
}

std::size_t norms_of(const graph::Graph& graph) {
  return static_cast<std::size_t>(std::ranges::count_if(
      graph.nodes(), [](const graph::Node& node) { return ops::as<ops::BatchNorm>(node) != nullptr; }));
}

TEST(FoldNorms, GivesTheSameOutputsOnTheNativeEngine) {
  for (const char* name :
       {"resnet18", "resnet50", "resnet50d", "seresnet50", "d2l_resnet18", "resnetv2_50"}) {
    const ModelFile model = small_model(name);
    const io::Folded folded = io::fold_norms(model);
    EXPECT_EQ(norms_of(folded.graph) + static_cast<std::size_t>(folded.norms), norms_of(model.graph)) << name;
    if (std::string_view(name) != "resnetv2_50") EXPECT_EQ(norms_of(folded.graph), 0U) << name;
    const Tensor images = random_uniform({3, 3, 32, 32}, 2);
    const Tensor expected = make_engine({model.graph, {}, model.state})->infer(images.view<float>());
    const Tensor got = make_engine({folded.graph, {}, folded.state})->infer(images.view<float>());
    EXPECT_LE(test::distance(got, expected), 1e-5 * test::norm(expected)) << name;
  }
}

// A convolution that is also read elsewhere, weights of two convolutions, and a variance that no number is
// left of: those norms stay.
TEST(FoldNorms, LeavesNormsWhoseConvolutionOthersNeed) {
  for (const int kind : {0, 1, 2, 3}) {
    graph::Graph graph;
    State state;
    const auto state_value = [&](const std::string& name, const Shape& shape, float value) {
      Tensor tensor(shape);
      for (float& x : tensor.values()) x = value;
      state.emplace_back(name, std::move(tensor));
      return graph.add_state(graph::Role::parameter, name, {shape, DType::f32});
    };
    const auto x = graph.add_input(graph::kImages, {Shape{1, 2, 8, 8}, DType::f32});
    const auto w = state_value("w", {2, 2, 1, 1}, 1e30F);
    const auto conv =
        graph.add_node(ops::make<ops::Conv2d>(ops::ConvOptions{}), "conv", {x, w, graph::kNone})[0];
    const std::vector<graph::ValueId> inputs = {conv, state_value("gamma", {2}, kind == 2 ? 1e30F : 1),
                                                state_value("beta", {2}, 0), state_value("mean", {2}, 0),
                                                state_value("var", {2}, kind == 2 ? 1e-30F : 1)};
    auto y = graph.add_node(ops::make<ops::BatchNorm>(ops::BatchNormOptions{.eps = 1e-30}), "bn", inputs)[0];
    if (kind == 0) y = graph.add_node(ops::make<ops::Add>(), "add", {y, conv})[0];
    if (kind == 1) {
      const auto again =
          graph.add_node(ops::make<ops::Conv2d>(ops::ConvOptions{}), "again", {x, w, graph::kNone})[0];
      y = graph.add_node(ops::make<ops::Add>(), "add", {y, again})[0];
    }
    graph.add_output(graph::kOutput, y);
    EXPECT_EQ(io::fold_norms({state, graph, {.channels = 2}, {}}).norms, kind == 3 ? 1 : 0) << kind;
  }
}

// Each half is exact; between two of them the nearer, in the middle the even one.
TEST(Half, RoundsToTheNearest) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = io::float_of_half(half);
    ASSERT_EQ(io::half_of(value), half);
    ASSERT_EQ(io::half_of(-value), half | 0x8000U);
    if (bits + 1 == 0x7c00) break;
    const auto next = static_cast<std::uint16_t>(half + 1);
    const float middle = (value + io::float_of_half(next)) / 2;
    ASSERT_EQ(io::half_of(middle), (half & 1U) == 0 ? half : next) << middle;
    ASSERT_EQ(io::half_of(std::nextafter(middle, 0.0F)), half);
    ASSERT_EQ(io::half_of(std::nextafter(middle, 1e9F)), next);
  }
  EXPECT_EQ(io::half_of(65504), 0x7bff);
  EXPECT_EQ(io::half_of(std::nextafter(65520.0F, 0.0F)), 0x7bff);
  EXPECT_EQ(io::half_of(65520), 0x7c00);
  EXPECT_EQ(io::half_of(-INFINITY), 0xfc00);
  EXPECT_TRUE(std::isnan(io::float_of_half(io::half_of(NAN))));
  EXPECT_EQ(io::half_of(1e-30F), 0);
}

TEST_F(ExportTest, WritesAModelFileInFullPrecision) {
  const ModelFile model = small_model();
  export_safetensors(file("m"), model);
  save_model(file("saved"), model);
  EXPECT_EQ(read(file("m")), read(file("saved")));
}

TEST_F(ExportTest, WritesFloatsOfSixteenBits) {
  const ModelFile model = small_model();
  for (const WeightType type : {WeightType::f16, WeightType::bf16}) {
    const std::int64_t bytes = export_safetensors(file("m"), model, type);
    const std::string text = read(file("m"));
    std::uint64_t length = 0;
    std::memcpy(&length, text.data(), sizeof length);
    const std::string data = text.substr(8 + length);
    EXPECT_EQ(static_cast<std::int64_t>(data.size()), bytes);
    const Json header = parse_json(text.substr(8, length), {.bytes = 1U << 20U, .text = 1U << 20U});
    for (const auto& [name, tensor] : model.state) {
      const Json& entry = *header.find(name);
      const bool narrow = tensor.dtype() == DType::f32;
      EXPECT_EQ(entry.find("dtype")->text(), !narrow ? "I64" : type == WeightType::f16 ? "F16" : "BF16");
      const char* at = data.data() + (*entry.find("data_offsets"))[0].whole();
      if (!narrow) {
        EXPECT_EQ(std::memcmp(at, tensor.raw(), tensor.bytes()), 0);
        continue;
      }
      for (const float value : tensor.values()) {
        std::uint16_t half = 0;
        std::memcpy(&half, at, sizeof half);
        at += sizeof half;
        ASSERT_EQ(half, type == WeightType::f16 ? io::half_of(value) : BFloat16(value).bits) << name;
      }
    }
  }
}

TEST_F(ExportTest, NamesWhatIsBeyondHalfPrecision) {
  ModelFile model = small_model();
  model.state[3].second.values()[1] = 70000;
  write(file("m"), "old");
  EXPECT_THAT(test::message_of<FormatError>([&] { export_safetensors(file("m"), model, WeightType::f16); }),
              HasSubstr("tensor '" + model.state[3].first + "' has 70000, f16 ends at 65504"));
  EXPECT_EQ(read(file("m")), "old");
  EXPECT_NO_THROW(export_safetensors(file("m"), model, WeightType::bf16));
  model.state[3].second.values()[1] = std::numeric_limits<float>::max();
  EXPECT_THAT(test::message_of<FormatError>([&] { export_safetensors(file("m"), model, WeightType::bf16); }),
              HasSubstr("bf16 ends at 3.39e38"));
}

}  // namespace
}  // namespace resnet
