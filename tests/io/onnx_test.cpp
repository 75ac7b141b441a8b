// ONNX files, read back by our own reader; reference/onnx_parity.py gives them to ONNX Runtime.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>

#include "base/random.h"
#include "graph/names.h"
#include "io/folder_test.h"
#include "io/onnx/evaluate.h"
#include "io/onnx/graph_writer.h"
#include "io/onnx/operations.h"
#include "io/onnx/read.h"
#include "ops/operation.h"
#include "resnet/export.h"
#include "support/message_of.h"
#include "support/networks.h"
#include "support/random_graph.h"

namespace resnet {
namespace {

using io::onnx::Read;
using io::onnx::read_network;
using ::testing::HasSubstr;

ModelFile model_of_zoo(const std::string& name, const data::Preprocessing& preprocessing = {.channels = 3}) {
  models::ResNetOptions options = {
      .in_channels = preprocessing.channels, .classes = 5, .blocks = {1, 2}, .channels = {8, 16}};
  if (name.find("next") != std::string::npos) {
    options.groups = 4;
    options.width_per_group = 64;
  }
  const nn::Sequential net = test::random_network(name, options);
  return {state_of(net),
          nn::trace(net, {1, preprocessing.channels, 32, 40}, Mode::eval),
          preprocessing,
          {"cat", "dog", "T-shirt/top", "ü"}};
}

images::Image picture_of(std::int64_t height, std::int64_t width, std::int64_t channels,
                         std::uint64_t seed = 0) {
  images::Image picture{height, width, channels, {}};
  const RandomStream random(seed, "picture");
  for (std::int64_t i = 0; i < height * width * channels; ++i)
    picture.pixels.push_back(static_cast<std::uint8_t>(random.word(static_cast<std::uint64_t>(i)) & 0xffU));
  return picture;
}

// In double, on the same images.
Tensor exact(const graph::Graph& graph, const State& state, const Tensor& images) {
  return make_reference_engine({graph.reshaped({{graph::kImages, images.shape()}}), {}, state})
      ->infer(images.view<float>());
}

class OnnxTest : public FolderTest {
 protected:
  Read exported(const ModelFile& model, const OnnxOptions& options = {}) {
    facts_ = export_onnx(file("m.onnx"), model, options);
    const Shape& images = model.graph.value(model.graph.input(graph::kImages)).type.shape;
    return read_network(text(), images[2], images[3]);
  }
  std::string text() const { return read(file("m.onnx")); }
  template <class Kind = FormatError>
  std::string refusal(const ModelFile& model, const OnnxOptions& options) {
    return test::message_of<Kind>([&] { export_onnx(file("refused.onnx"), model, options); });
  }

  OnnxFacts facts_;
};

TEST(GraphWriter, NumbersTenThousandNodesOfOneNameAtOnce) {
  constexpr int kMany = 10'000;
  io::onnx::schema::GraphProto graph;
  io::onnx::GraphWriter writer(graph);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kMany; ++i) writer.add("Relu", "relu", {"x"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(graph.node(0).name(), "relu");
  EXPECT_EQ(graph.node(1).name(), "relu_2");
  EXPECT_EQ(graph.node(kMany - 1).name(), "relu_10000");
  EXPECT_EQ(writer.unique("relu_3"), "relu_3_2");
  EXPECT_EQ(writer.unique("relu"), "relu_10001");
}

TEST(OnnxMappings, AreThereForEachOperationThatNetworksMayHave) {
  std::set<std::string_view> known;
  for (const io::onnx::Mapping& mapping : io::onnx::mappings()) {
    known.insert(mapping.operation);
    EXPECT_NE(mapping.write == nullptr, *mapping.refusal == '\0') << mapping.operation;
  }
  for (const ops::Kind& kind : ops::all())
    EXPECT_EQ(known.contains(kind.name), kind.read != nullptr)
        << kind.name << ": a line in src/io/onnx/operations.cpp says how it is written, or why not";
}

class OnnxZoo : public OnnxTest, public ::testing::WithParamInterface<std::string> {};

TEST_P(OnnxZoo, GivesTheSameLogitsWithNormsFoldedAndNot) {
  const ModelFile model = model_of_zoo(GetParam());
  const Tensor images = random_uniform({2, 3, 32, 40}, 7);
  const Tensor expected = exact(model.graph, model.state, images);
  for (const bool fold : {true, false}) {
    const Read back = exported(model, {.fold_norms = fold});
    EXPECT_EQ(facts_.folded > 0, fold);
    const Tensor got = exact(back.graph, back.state, images);
    // Unfolded: eps is a float there, and results are. Folded: each weight is rounded once more, 2^-24 of its
    // size.
    const double tolerance = fold ? 1e-6 : 1e-7;
    EXPECT_LE(test::distance(got, expected), tolerance * test::norm(expected)) << fold;
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, OnnxZoo,
                         ::testing::Values("d2l_resnet18", "d2l_resnet50", "resnet18", "resnet50",
                                           "wide_resnet50_2", "resnext50_32x4d", "resnet50d", "seresnet50",
                                           "seresnext50_32x4d", "resnetv2_50"));

TEST_F(OnnxTest, GivesWhatNetworksOfAllOperationsGive) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    const test::RandomGraph random(seed, 0, false);
    const Shape& images = random.images();
    ModelFile model{random.state(), random.graph(), {.channels = images[1]}, {}};
    try {
      save_model(file("m"), model);
    } catch (const FormatError&) {
      continue;  // its output is the input, say
    }
    const Tensor x = random_uniform(images, seed);
    const Tensor expected = exact(model.graph, model.state, x);
    const Read back = exported(model, {.fold_norms = seed % 2 == 0});
    for (const auto& node : back.proto.graph().node()) seen.insert(node.op_type());
    EXPECT_LE(test::distance(exact(back.graph, back.state, x), expected),
              1e-5 * (test::norm(expected) + 1e-3))
        << "seed " << seed << '\n'
        << to_string(model.graph);
  }
  for (const char* op : {"Conv", "Gemm", "BatchNormalization", "Relu", "Sigmoid", "Erf", "Add", "Mul",
                         "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten"})
    EXPECT_TRUE(seen.contains(op)) << op;
}

// Windows that reach over the edge, behind padding that counts and does not.
TEST_F(OnnxTest, WritesPoolsThatRoundUpByPadding) {
  for (const bool counts : {true, false}) {
    for (const std::int64_t padding : {0, 1}) {
      graph::Graph graph;
      const auto x = graph.add_input(graph::kImages, {Shape{1, 3, 10, 9}, DType::f32});
      const ops::PoolWindow window{.kernel = {3, 2},
                                   .stride = {2, 3},
                                   .padding = {padding, padding},
                                   .count_padding = counts,
                                   .ceil_mode = true};
      const auto max = graph.add_node(ops::make<ops::MaxPool>(window), "max", {x})[0];
      const auto avg = graph.add_node(ops::make<ops::AvgPool>(window), "avg", {x})[0];
      graph.add_output(graph::kOutput, graph.add_node(ops::make<ops::Concat>(), "both", {max, avg})[0]);
      const Read back = exported({{}, graph, {.channels = 3}, {}});
      const auto& pads = back.proto.graph().node(0).attribute(2).ints();
      EXPECT_EQ(pads[2], pads[0] + 1);  // a row behind the map
      const Tensor images = random_uniform({2, 3, 10, 9}, 3);
      EXPECT_EQ(test::distance(exact(back.graph, {}, images), exact(graph, {}, images)), 0);
    }
  }
}

TEST_F(OnnxTest, SaysWhatOthersAskFor) {
  const Read back = exported(model_of_zoo("resnet18"), {.opset = 18, .softmax = true});
  EXPECT_EQ(back.proto.ir_version(), 8);
  ASSERT_EQ(back.proto.opset_import_size(), 1);
  EXPECT_EQ(back.proto.opset_import(0).version(), 18);
  const auto& graph = back.proto.graph();
  EXPECT_EQ(graph.input(0).name(), "images");
  EXPECT_EQ(graph.input(0).type().tensor_type().shape().dim(0).dim_param(), "batch");
  EXPECT_EQ(graph.input(0).type().tensor_type().shape().dim(3).dim_value(), 40);
  EXPECT_EQ(graph.output(0).name(), "output");
  EXPECT_EQ(graph.output(0).type().tensor_type().shape().dim(1).dim_value(), 5);
  EXPECT_EQ(graph.node(graph.node_size() - 1).op_type(), "Softmax");
  EXPECT_EQ(graph.node(0).name(), "conv1");
  EXPECT_EQ(graph.node(0).input(1), "conv1.weight");
  std::map<std::string, std::string> metadata;
  for (const auto& entry : back.proto.metadata_props()) metadata[entry.key()] = entry.value();
  EXPECT_EQ(metadata["names"], R"({"0":"cat","1":"dog","2":"T-shirt/top","3":"ü"})");
  EXPECT_EQ(metadata["resnet.classes"], R"(["cat","dog","T-shirt/top","ü"])");
  EXPECT_EQ(metadata["Image.BitmapPixelFormat"], "Rgb8");
  EXPECT_THAT(metadata["resnet.preprocessing"], HasSubstr("\"channels\":3"));
  EXPECT_EQ(facts_.nodes, graph.node_size());
  EXPECT_EQ(facts_.bytes, static_cast<std::int64_t>(text().size()));
}

// The network's input is equal bit for bit: enlarged and shrunk, cropped and padded, gray and RGB.
TEST_F(OnnxTest, PreprocessesInsideAsOutside) {
  const data::Normalization normalization{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  const std::vector<data::Preprocessing> all = {
      {.resize = {32, 40}, .channels = 3},
      {.resize = {32, 40}, .channels = 1},
      {.resize = {32, 40}, .channels = 3, .filter = images::Filter::bicubic, .normalization = normalization},
      {.resize = 44, .channels = 3, .crop = {32, 40}, .normalization = normalization},
      {.resize = 44,
       .channels = 1,
       .filter = images::Filter::bicubic,
       .crop = {32, 40},
       .normalization = {{0.3}, {0.5}}},
      {.resize = 27, .channels = 3, .crop = {32, 40}},
      {.channels = 3, .crop = {32, 40}}};
  for (const data::Preprocessing& preprocessing : all) {
    const ModelFile model = model_of_zoo("resnet18", preprocessing);
    static_cast<void>(exported(model, {.with_preprocessing = true}));
    std::vector<images::Image> pictures;
    for (const auto& [height, width] : {std::pair(32, 40),
                                        {33, 41},
                                        {64, 80},
                                        {192, 240},
                                        {101, 57},
                                        {57, 101},
                                        {200, 31},
                                        {9, 7},
                                        {1, 1},
                                        {3, 120}})
      pictures.push_back(picture_of(height, width, pictures.size() % 2 == 0 ? 3 : 1, pictures.size()));
    const OnnxDeviation found = onnx_deviation(file("m.onnx"), model, pictures);
    EXPECT_EQ(found.input, 0) << data::to_json(preprocessing);
    EXPECT_EQ(found.pictures, static_cast<std::int64_t>(pictures.size()));
    EXPECT_EQ(found.same_top1, found.pictures);
    EXPECT_LE(found.output, 1e-4 * found.largest);
  }
}

TEST_F(OnnxTest, LeavesSizesOpenThatFollowThePicture) {
  ModelFile model = model_of_zoo("resnet18", {.resize = 32, .channels = 3});
  static_cast<void>(exported(model, {.with_preprocessing = true}));
  const std::vector<images::Image> pictures = {picture_of(50, 80, 3), picture_of(32, 32, 1),
                                               picture_of(90, 17, 3)};
  const OnnxDeviation found = onnx_deviation(file("m.onnx"), model, pictures);
  EXPECT_EQ(found.input, 0);
  EXPECT_LE(found.output, 1e-4 * found.largest);
}

TEST_F(OnnxTest, HasNoAnswerOfOutputsThatAreNotFinite) {
  ModelFile model = model_of_zoo("resnet18", {.resize = 32, .channels = 3});
  for (auto& [name, tensor] : model.state) {
    if (name == "bn1.running_var") tensor.values()[0] = -1;
  }
  static_cast<void>(exported(model, {.fold_norms = false}));
  const OnnxDeviation found = onnx_deviation(file("m.onnx"), model, std::vector{picture_of(32, 32, 3)});
  EXPECT_EQ(found.pictures, 1);
  EXPECT_EQ(found.nonfinite, 1);
  EXPECT_EQ(found.same_top1, 0);
}

TEST_F(OnnxTest, MeasuresNetworksThatTakeNoPictures) {
  const ModelFile model = model_of_zoo("resnet18", {.resize = {32, 40}, .channels = 4});
  static_cast<void>(exported(model, {}));
  const OnnxDeviation found = onnx_deviation(file("m.onnx"), model, std::vector{picture_of(50, 80, 3)});
  EXPECT_EQ(found.same_top1, 1);
  EXPECT_GT(found.largest, 0);
  EXPECT_LE(found.output, 1e-4 * found.largest);
}

TEST_F(OnnxTest, NoticesAnotherPreprocessing) {
  const ModelFile model = model_of_zoo("resnet18", {.resize = {32, 40}, .channels = 3});
  static_cast<void>(exported(model, {.with_preprocessing = true}));
  ModelFile other = model;
  other.preprocessing.filter = images::Filter::bicubic;
  EXPECT_GT(onnx_deviation(file("m.onnx"), other, std::vector{picture_of(50, 80, 3)}).input, 1.0 / 256);
}

TEST_F(OnnxTest, RefusesWhatItCannotRepresentByName) {
  const ModelFile model = model_of_zoo("resnet18", {.resize = {32, 40}, .channels = 3});
  EXPECT_THAT(refusal<ConfigError>(model, {.opset = 16}), HasSubstr("opset cannot be 16"));
  ModelFile drafted = model;
  drafted.preprocessing.jpeg_draft = true;
  EXPECT_THAT(refusal(drafted, {.with_preprocessing = true}), HasSubstr("decoded at a smaller size"));
  EXPECT_THAT(
      refusal(model_of_zoo("resnet18", {.resize = {32, 40}, .channels = 2}), {.with_preprocessing = true}),
      HasSubstr("takes 2 channels"));
  EXPECT_THAT(
      refusal(model_of_zoo("resnet18", {.resize = {16, 16}, .channels = 3}), {.with_preprocessing = true}),
      HasSubstr("its preprocessing gives [3,16,16], its network takes [1,3,32,40]"));
  EXPECT_THAT(refusal(model_of_zoo("resnet50d", {.resize = 32, .channels = 3}), {.with_preprocessing = true}),
              HasSubstr("avg_pool 'layer2.0.downsample.0' rounds up"));
  graph::Graph map;
  const auto x = map.add_input(graph::kImages, {Shape{1, 3, 8, 8}, DType::f32});
  map.add_output(graph::kOutput, map.add_node(ops::make<ops::Relu>(), "relu", {x})[0]);
  EXPECT_THAT(refusal({{}, map, {.channels = 3}, {}}, {.softmax = true}), HasSubstr("no probabilities"));
  EXPECT_FALSE(path_exists(file("refused.onnx")));
}

TEST_F(OnnxTest, RefusesATrainingNorm) {
  graph::Graph graph;
  const auto x = graph.add_input(graph::kImages, {Shape{2, 1, 8, 8}, DType::f32});
  std::vector<graph::ValueId> inputs = {x};
  State state;
  for (const char* name : {"gamma", "beta", "mean", "var"}) {
    inputs.push_back(graph.add_state(graph::Role::buffer, name, {Shape{1}, DType::f32}));
    state.emplace_back(name, Tensor({1}));
  }
  const ops::BatchNormOptions options{.training = true};
  graph.add_output(graph::kOutput, graph.add_node(ops::make<ops::BatchNorm>(options), "bn", inputs)[0]);
  EXPECT_THAT(refusal({state, graph, {}, {}}, {}), HasSubstr("batch_norm 'bn' is in training mode"));
}

TEST_F(OnnxTest, KeepsTheOldFileWhereTheDiskIsFull) {
  write(file("m.onnx"), "old");
  const SmallDisk disk(1000);
  EXPECT_THROW(export_onnx(file("m.onnx"), model_of_zoo("resnet18")), IoError);
  EXPECT_EQ(text(), "old");
}

TEST_F(OnnxTest, SaysWhereOutputsAreNotFinite) {
  ModelFile model = model_of_zoo("resnet18", {.resize = {32, 40}, .channels = 3});
  for (auto& [name, tensor] : model.state)
    if (name == "fc.bias") tensor.values()[0] = std::numeric_limits<float>::quiet_NaN();
  static_cast<void>(exported(model));
  const OnnxDeviation found = onnx_deviation(file("m.onnx"), model, std::vector{picture_of(50, 80, 3)});
  EXPECT_TRUE(std::isnan(found.output) && std::isnan(found.largest)) << found.output;
}

// Cut off anywhere, or with any byte changed, it is read, or refused as a format; nothing else.
TEST_F(OnnxTest, ReadsDamagedFilesOrRefusesThem) {
  static_cast<void>(exported(model_of_zoo("d2l_resnet18", {.resize = {32, 40}, .channels = 3}),
                             {.with_preprocessing = true}));
  const std::string whole = text();
  int refused = 0;
  const auto try_it = [&](const std::string& damaged) {
    try {
      const Read back = read_network(damaged, 32, 40);
      if (back.preprocessing > 0)
        static_cast<void>(io::onnx::evaluate(back.proto.graph(), back.preprocessing, picture_of(5, 6, 3)));
    } catch (const FormatError&) {
      ++refused;
    }
  };
  const RandomStream random(1, "damage");
  for (std::uint64_t i = 0; i < 60; ++i) try_it(whole.substr(0, random.below(3 * i, whole.size())));
  EXPECT_EQ(refused, 60);
  const std::size_t nodes = whole.size() / 50;  // the nodes stand before the weights
  for (std::uint64_t i = 100; i < 300; ++i) {
    std::string damaged = whole;
    damaged[random.below(3 * i, nodes)] = static_cast<char>(random.word(i));
    try_it(damaged);
  }
  EXPECT_GT(refused, 150);
}

}  // namespace
}  // namespace resnet
