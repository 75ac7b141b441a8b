#include "resnet/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/random.h"
#include "io/folder_test.h"
#include "io/model_hash.h"
#include "io/model_metadata.h"
#include "io/safetensors.h"
#include "ops/avg_pool.h"
#include "ops/max_pool.h"
#include "ops/relu.h"
#include "resnet/weights.h"
#include "support/networks.h"

namespace resnet {
namespace {

using ::testing::HasSubstr;

const models::ResNetOptions kTiny = {.in_channels = 1, .classes = 3, .blocks = {1, 1}, .channels = {4, 8}};

nn::Sequential tiny_network(const std::string& model = "d2l_resnet18") {
  return test::random_network(model, kTiny);
}

// Three gray pictures, one of each class.
data::Dataset tiny_data() {
  class Source : public data::Dataset::Source {
   public:
    std::int64_t size() const override { return 3; }
    std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i); }
    void image(std::int64_t i, data::Image& out) const override {
      out = {10, 12, 1, std::vector<std::uint8_t>(120)};
      const RandomStream random(static_cast<std::uint64_t>(i), "picture");
      for (std::size_t p = 0; p < out.pixels.size(); ++p) {
        out.pixels[p] = static_cast<std::uint8_t>(random.word(p) & 0xffU);
      }
    }
  };
  data::Preprocessing preprocessing;
  preprocessing.resize = {16, 24};
  return {std::make_shared<Source>(), "tiny", {"T-shirt/top", "ü", "bag"}, preprocessing, {1, 16, 24}};
}

void expect_same_bits(const State& expected, const State& got) {
  ASSERT_EQ(expected.size(), got.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(got[i].first, expected[i].first);
    ASSERT_EQ(got[i].second.shape(), expected[i].second.shape()) << expected[i].first;
    ASSERT_EQ(got[i].second.dtype(), expected[i].second.dtype()) << expected[i].first;
    EXPECT_EQ(std::memcmp(got[i].second.raw(), expected[i].second.raw(), expected[i].second.bytes()), 0)
        << expected[i].first;
  }
}

template <class Kind = FormatError>
std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Kind& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

class ModelFileTest : public FolderTest {
 protected:
  // What the file holds, for a test to damage.
  io::Safetensors saved(const std::string& model = "d2l_resnet18") {
    save_model(file("m"), tiny_network(model), tiny_data());
    return io::read_safetensors(file("m"));
  }
  std::string error_of_file(const io::Safetensors& damaged) {
    io::write_safetensors(file("damaged"), damaged.tensors, damaged.metadata);
    const std::string message = error_of([&] { static_cast<void>(load_model(file("damaged"))); });
    if (!message.empty()) {
      EXPECT_THAT(message, ::testing::StartsWith(file("damaged").string() + ": "));
    }
    return message;
  }
};

TEST_F(ModelFileTest, GivesBackStateGraphPreprocessingAndClasses) {
  for (const char* model : {"d2l_resnet18", "resnet18", "resnet50"}) {
    SCOPED_TRACE(model);
    const nn::Sequential net = tiny_network(model);
    const data::Dataset data = tiny_data();
    save_model(file("m"), net, data);
    const ModelFile got = read_model(file("m"));
    expect_same_bits(state_of(net), got.state);
    EXPECT_EQ(graph::to_json(got.graph), graph::to_json(nn::trace(net, {1, 1, 16, 24}, Mode::eval)));
    EXPECT_EQ(got.preprocessing, data.preprocessing());
    EXPECT_EQ(got.classes, data.classes());
    save_model(file("again"), got);
    EXPECT_EQ(read(file("again")), read(file("m"))) << "a file read and written is the same file";
  }
}

TEST_F(ModelFileTest, HoldsTheClassesOfTheLargestDataSet) {
  constexpr std::int64_t kClasses = 1 << 16;  // as of idx()
  const nn::Sequential net = test::random_network(
      "resnet18", {.in_channels = 1, .classes = kClasses, .blocks = {1, 1}, .channels = {4, 8}});
  std::vector<std::string> classes;
  for (std::int64_t k = 0; k < kClasses; ++k) classes.push_back(std::to_string(k));
  save_model(file("m"),
             {state_of(net), nn::trace(net, {1, 1, 16, 24}, Mode::eval), {.channels = 1}, classes});
  EXPECT_EQ(read_model(file("m")).classes, classes);
}

TEST_F(ModelFileTest, HasTheMetadataThatPyTorchAndWeExpect) {
  const io::Safetensors got = saved();
  EXPECT_EQ(got.metadata.at("format"), "pt");
  EXPECT_EQ(got.metadata.at("resnet.format"), "1");
  EXPECT_EQ(got.metadata.at("resnet.classes"), R"(["T-shirt/top","ü","bag"])");
  EXPECT_EQ(got.metadata.at("resnet.preprocessing"), data::to_json(tiny_data().preprocessing()));
  EXPECT_EQ(got.metadata.size(), 5U);
  EXPECT_EQ(got.tensors.front().first, "0.0.weight");
}

TEST_F(ModelFileTest, StoresTheGraphForOneImageWhateverItWasTracedFor) {
  const nn::Sequential net = tiny_network();
  ModelFile model{state_of(net), nn::trace(net, {7, 1, 16, 24}, Mode::eval), tiny_data().preprocessing(), {}};
  save_model(file("m"), model);
  EXPECT_EQ(graph::to_json(read_model(file("m")).graph),
            graph::to_json(nn::trace(net, {1, 1, 16, 24}, Mode::eval)));
}

TEST_F(ModelFileTest, InfersTheBitsOfTheNetworkThatWasSaved) {
  for (const char* name : {"d2l_resnet18", "resnet18"}) {
    SCOPED_TRACE(name);
    nn::Sequential net = tiny_network(name);
    save_model(file("m"), net, tiny_data());
    Model model = load_model(file("m"), {.threads = 2});
    for (const std::int64_t batch : {1, 5}) {
      const Tensor images = random_uniform({batch, 1, 16, 24}, 8);
      const Tensor expected = forward(net, images);
      const Tensor got = model.infer(images.view<float>());
      ASSERT_EQ(got.shape(), (Shape{batch, 3}));
      EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.bytes()), 0);
    }
    expect_same_bits(state_of(net), model.engine().state());
  }
}

TEST_F(ModelFileTest, ClassifiesAPictureAsTheNetworkDoes) {
  nn::Sequential net = tiny_network();
  const data::Dataset data = tiny_data();
  save_model(file("m"), net, data);
  Model model = load_model(file("m"));
  EXPECT_EQ(model.classes(), data.classes());
  const data::Image picture = data.image(1);
  Tensor image({1, 1, 16, 24});
  data::preprocess(data.preprocessing(), picture, image.values());
  const Tensor logits = forward(net, image);
  const auto got = model.classify(picture);
  ASSERT_EQ(got.size(), 3U);
  double sum = 0;
  for (const float v : logits.values()) sum += std::exp(static_cast<double>(v));
  float total = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (i > 0) {
      EXPECT_GE(got[i - 1].second, got[i].second);
    }
    total += got[i].second;
    const auto k = static_cast<std::size_t>(
        std::find(data.classes().begin(), data.classes().end(), got[i].first) - data.classes().begin());
    ASSERT_LT(k, 3U);
    // exp and a quotient in double, rounded to float once.
    EXPECT_FLOAT_EQ(got[i].second,
                    static_cast<float>(std::exp(static_cast<double>(logits.values()[k])) / sum));
  }
  EXPECT_NEAR(total, 1, 3e-7);
}

TEST_F(ModelFileTest, NumbersTheClassesThatHaveNoName) {
  const nn::Sequential net = tiny_network();
  Model model(
      {state_of(net), nn::trace(net, {1, 1, 16, 24}, Mode::eval), tiny_data().preprocessing(), {"zero"}});
  std::vector<std::string> names;
  for (const auto& [name, probability] : model.classify(tiny_data().image(0))) names.push_back(name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("zero", "1", "2"));
}

TEST_F(ModelFileTest, LoadsWithoutTheCountsOfBatches) {
  io::Safetensors model = saved("resnet18");
  const std::size_t before = model.tensors.size();
  std::erase_if(model.tensors,
                [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  ASSERT_LT(model.tensors.size(), before);
  EXPECT_EQ(error_of_file(model), "");
  nn::Sequential net = models::make("resnet18", kTiny);
  load_weights(net, file("damaged"));
  EXPECT_EQ(state_of(net).size(), before);
}

TEST_F(ModelFileTest, RefusesAFileWithoutATensorThatIsReadWhateverItsName) {
  io::Safetensors model = saved();
  nlohmann::json graph = nlohmann::json::parse(model.metadata.at("resnet.graph"));
  const std::string name = graph["values"][1]["name"];
  graph["values"][1]["name"] = "num_batches_tracked";
  model.metadata["resnet.graph"] = graph.dump();
  ASSERT_EQ(std::erase_if(model.tensors, [&](const auto& entry) { return entry.first == name; }), 1U);
  EXPECT_THAT(error_of_file(model), HasSubstr("tensor 'num_batches_tracked' F32 [4,1,7,7] is missing"));
}

// A module with a part that evaluation does not use: the file keeps its weights.
struct WithUnusedPart : nn::Module {
  nn::Conv2d& used = add("used", nn::Conv2d{1, 3, {.kernel = 16}});
  nn::Linear& unused = add("unused", nn::Linear{5, 7});
  nn::Flatten& flatten = add("flatten", nn::Flatten{});
  nn::GlobalAvgPool2d& pool = add("pool", nn::GlobalAvgPool2d{});
  Value operator()(Value x) const override { return flatten(pool(used(x))); }
};

TEST_F(ModelFileTest, KeepsWeightsThatEvaluationDoesNotUse) {
  WithUnusedPart net;
  nn::init(net, nn::Scheme::chapter, 1);
  save_model(file("m"), net, tiny_data());
  Model model = load_model(file("m"));
  const Tensor images = random_uniform({2, 1, 16, 24});
  const Tensor expected = forward(net, images);
  const Tensor got = model.infer(images.view<float>());
  EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), expected.bytes()), 0);
  WithUnusedPart other;
  load_weights(other, file("m"));
  expect_same_bits(state_of(net), state_of(other));
}

TEST_F(ModelFileTest, NamesTheFirstTensorThatIsMissingOrTooMany) {
  io::Safetensors model = saved();
  const auto removed = model.tensors[4];
  model.tensors.erase(model.tensors.begin() + 4);
  EXPECT_THAT(error_of_file(model), HasSubstr("tensor '" + removed.first + "' F32 " +
                                              to_string(removed.second.shape()) + " is missing"));
  model = saved();
  model.tensors.emplace_back("another", Tensor({2}));
  EXPECT_THAT(error_of_file(model), HasSubstr("tensor 'another' F32 [2] is not in the network"));
  model = saved();
  model.tensors[0].second = Tensor({4, 1, 7, 6});
  EXPECT_THAT(error_of_file(model),
              HasSubstr("tensor '0.0.weight' is F32 [4,1,7,6], the network has F32 [4,1,7,7]"));
  model = saved();
  model.tensors[0].second = Tensor({4, 1, 7, 7}, DType::f64);
  EXPECT_THAT(error_of_file(model), HasSubstr("is F64 [4,1,7,7], the network has F32"));
}

TEST_F(ModelFileTest, RefusesMetadataThatIsMissingOrDamaged) {
  for (const char* key : {"resnet.format", "resnet.graph", "resnet.preprocessing", "resnet.classes"}) {
    io::Safetensors model = saved();
    model.metadata.erase(key);
    EXPECT_THAT(error_of_file(model), HasSubstr(std::string("no '") + key + "'"));
    for (const char* text : {"", "{", "null", "[1]", "{}", "2", "\"1\"", "[[[[[["}) {
      model.metadata[key] = text;
      EXPECT_NE(error_of_file(model), "") << key << " = " << text;
    }
  }
  io::Safetensors model = saved();
  model.metadata["resnet.classes"] = R"(["a","b","c","d"])";
  EXPECT_THAT(error_of_file(model), HasSubstr("4 classes of a network whose output is [1,3]"));
  model.metadata["resnet.classes"] = "[]";
  EXPECT_EQ(error_of_file(model), "");
  model.metadata["resnet.preprocessing"] = data::to_json(data::Preprocessing{.resize = 16, .channels = 3});
  EXPECT_THAT(error_of_file(model), HasSubstr("takes [1,1,16,24], its preprocessing gives 3 channels"));
}

TEST_F(ModelFileTest, TakesACheckpointThatHasItsNetworkAndIsWhatWasWritten) {
  io::Safetensors model = saved();
  for (auto& [name, tensor] : model.tensors) name.insert(0, io::kState);
  model.metadata[io::kCheckpointKey] = "{}";
  EXPECT_THAT(error_of_file(model), HasSubstr("its contents are not what was written"));
  const auto seal = [&] {
    model.metadata.erase(io::kCheckpointHashKey);
    model.metadata[io::kCheckpointHashKey] = io::checkpoint_hash(model.tensors, model.metadata);
  };
  seal();
  EXPECT_EQ(error_of_file(model), "");
  model.tensors.front().second.values()[0] += 1;
  EXPECT_THAT(error_of_file(model), HasSubstr("its contents are not what was written"));
  model.metadata.erase("resnet.format");
  seal();
  EXPECT_THAT(error_of_file(model), HasSubstr("a checkpoint without its network, as earlier versions wrote"));
}

TEST_F(ModelFileTest, RefusesAGraphThatAnEngineCannotRun) {
  const io::Safetensors model = saved();
  const auto with = [&](const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json graph = nlohmann::json::parse(model.metadata.at("resnet.graph"));
    change(graph);
    io::Safetensors changed = model;
    changed.metadata["resnet.graph"] = graph.dump();
    return error_of_file(changed);
  };
  EXPECT_EQ(with([](auto&) {}), "");
  EXPECT_THAT(with([](auto& g) { g["values"][0]["name"] = "pictures"; }), HasSubstr("no input 'images'"));
  EXPECT_THAT(with([](auto& g) { g["outputs"][0]["name"] = "logits"; }), HasSubstr("no output 'output'"));
  EXPECT_NE(with([](auto& g) { g["values"][0]["shape"] = {1, 2, 16, 24}; }), "");
  EXPECT_NE(with([](auto& g) { g["values"][0]["shape"] = {1, 16, 24}; }), "");
  EXPECT_NE(with([](auto& g) { g["values"][0]["dtype"] = "u8"; }), "");
  EXPECT_NE(with([](auto& g) { g["values"][1]["dtype"] = "f64"; }), "");
  EXPECT_THAT(with([](auto& g) { g["values"][1]["role"] = "input"; }),
              HasSubstr("'images' F32 [N,C,H,W] alone"));
  EXPECT_NE(with([](auto& g) { g["nodes"][0]["op"] = "format_disk"; }), "");
  EXPECT_THAT(with([](auto& g) { g["nodes"][0]["attributes"]["norm_prologue"] = 1; }),
              HasSubstr("there is no attribute 'norm_prologue'"));
  EXPECT_THAT(with([](auto& g) { g["nodes"][0]["op"] = "sgd"; }), HasSubstr("not for inference"));
  EXPECT_NE(with([](auto& g) { g["nodes"].erase(0); }), "");
  EXPECT_NE(with([](auto& g) { g["nodes"][0]["inputs"][0] = 1000000; }), "");
}

// Graphs whose shapes are in order, but not for inference, or of sizes whose bytes would wrap.
TEST_F(ModelFileTest, RefusesGradientsHugeShapesAndOutputsThatAreNoNumbers) {
  const auto with_graph = [&](const graph::Graph& graph) {
    io::Safetensors damaged = saved();
    damaged.metadata["resnet.graph"] = graph::to_json(graph);
    return error_of_file(damaged);
  };
  graph::Graph gradient;
  const auto x = gradient.add_input("images", {Shape{1, 1, 16, 24}, DType::f32});
  const auto add_gradient = [&](std::int64_t side) {
    const ops::AveragePoolGradientOptions options{{}, {1, 1, side, side}};
    const auto mean = gradient.add_node(ops::make<ops::GlobalAvgPool>(), "mean", {x})[0];
    return gradient.add_node(ops::make<ops::GlobalAvgPoolGradient>(options), "up", {mean})[0];
  };
  EXPECT_THROW(add_gradient(std::int64_t{1} << 30), ShapeError);
  gradient.add_output("output", add_gradient(3));
  EXPECT_THAT(with_graph(gradient), HasSubstr("'global_avg_pool_gradient', which is not for inference"));

  graph::Graph index;
  const auto y = index.add_input("images", {Shape{1, 1, 16, 24}, DType::f32});
  const ops::PoolWindow window{.kernel = {2, 2}, .stride = {2, 2}};
  const auto pool = index.add_node(ops::make<ops::MaxPool>(window), "pool", {y});
  index.add_output("output", pool.at(1));
  EXPECT_THAT(with_graph(index), HasSubstr("an activation was expected"));
}

TEST_F(ModelFileTest, SavesAndReadsAnyNumberOfChannels) {
  for (const std::int64_t channels : {2, 7, 13}) {
    const nn::Sequential net = test::random_network(
        "d2l_resnet18", {.in_channels = channels, .classes = 3, .blocks = {1, 1}, .channels = {4, 8}});
    const ModelFile model = {
        state_of(net), nn::trace(net, {1, channels, 16, 24}, Mode::eval), {{}, channels}, {}};
    save_model(file("m"), model);
    Model got = load_model(file("m"));
    EXPECT_EQ(got.preprocessing(), model.preprocessing);
    const Tensor images = random_uniform({2, channels, 16, 24}, 8);
    EXPECT_EQ(got.infer(images.view<float>()).shape(), (Shape{2, 3}));
    EXPECT_THROW(got.classify(tiny_data().image(0)), ShapeError) << "a picture has 1 or 3 channels";
  }
}

TEST_F(ModelFileTest, RefusesAttributesThatAreNotTheOperationsOwn) {
  const io::Safetensors model = saved("resnet18");
  const auto with = [&](const std::string& op, const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json graph = nlohmann::json::parse(model.metadata.at("resnet.graph"));
    for (auto& node : graph["nodes"]) {
      if (node["op"] == op) {
        change(node);
        break;
      }
    }
    io::Safetensors changed = model;
    changed.metadata["resnet.graph"] = graph.dump();
    return error_of_file(changed);
  };
  // Options of the compiler's own: a file cannot say them, whatever they are called in the code.
  for (const char* name :
       {"signs", "table_only", "given", "norm", "pool_kernel", "add", "sums", "relu", "statistics",
        "residual", "norm_prologue", "stats_from_producer", "coefficients_only", "x", ""}) {
    for (const char* op :
         {"conv2d", "batch_norm", "relu", "add", "max_pool", "global_avg_pool", "flatten", "linear"}) {
      EXPECT_THAT(with(op, [&](auto& node) { node["attributes"][name] = 9; }),
                  HasSubstr("there is no attribute"))
          << op << " " << name;
    }
  }
  const nlohmann::json nodes = nlohmann::json::parse(model.metadata.at("resnet.graph")).at("nodes");
  for (const auto& [op, place] : {std::pair{"conv2d", 0}, {"batch_norm", 1}, {"max_pool", 3}}) {
    for (const auto& attribute : nodes.at(place).at("attributes").items()) {
      const std::string& name = attribute.key();
      EXPECT_THAT(with(op, [&](auto& node) { node["attributes"].erase(name); }), HasSubstr("is missing"))
          << name;
      for (const char* other : {"null", "true", "\"1\"", "[]", "[1]", "[1,2,3]", "[[1,1],1]", "{}", "1e300",
                                "18446744073709551615", "-1", "[9223372036854775807,1]", "[1.5,1]"}) {
        EXPECT_NE(with(op, [&](auto& node) { node["attributes"][name] = nlohmann::json::parse(other); }), "")
            << op << " " << name << " = " << other;
      }
    }
  }
}

TEST_F(ModelFileTest, RefusesOperandsThatAreAbsentOrTooMany) {
  const io::Safetensors model = saved("resnet18");
  const nlohmann::json graph = nlohmann::json::parse(model.metadata.at("resnet.graph"));
  const auto error_with = [&](std::size_t node, const std::vector<int>& inputs) {
    nlohmann::json changed = graph;
    changed["nodes"][node]["inputs"] = inputs;
    io::Safetensors damaged = model;
    damaged.metadata["resnet.graph"] = changed.dump();
    return error_of_file(damaged);
  };
  for (std::size_t node = 0; node < graph["nodes"].size(); ++node) {
    const auto inputs = graph["nodes"][node]["inputs"].get<std::vector<int>>();
    const bool bias_may_lack = graph["nodes"][node]["op"] == "linear";
    for (std::size_t slot = 0; slot < inputs.size(); ++slot) {
      if (inputs[slot] < 0 || (bias_may_lack && slot == 2)) continue;
      std::vector<int> changed = inputs;
      changed[slot] = -1;
      EXPECT_NE(error_with(node, changed), "") << node << " without operand " << slot;
      changed[slot] = -2;
      EXPECT_NE(error_with(node, changed), "");
    }
    EXPECT_NE(error_with(node, {}), "");
    std::vector<int> more = inputs;
    for (int i = 0; i < 8; ++i) {
      more.push_back(0);
      EXPECT_NE(error_with(node, more), "") << node << " with " << more.size() << " operands";
    }
  }
}

TEST_F(ModelFileTest, ClassifySaysWhereTheOutputIsNotFinite) {
  for (const float value : {std::nanf(""), 3e38F, INFINITY}) {
    ModelFile model = (saved("resnet18"), read_model(file("m")));
    for (float& weight : model.state.front().second.values()) weight = value;
    save_model(file("m"), model);
    Model got = load_model(file("m"));
    EXPECT_THAT(error_of<ShapeError>([&] { got.classify(tiny_data().image(0)); }), HasSubstr("not finite"))
        << value;
  }
  ModelFile model = (saved("resnet18"), read_model(file("m")));
  for (auto& [name, tensor] : model.state) {
    if (name.ends_with("running_var")) std::fill(tensor.values().begin(), tensor.values().end(), -1.0F);
  }
  Model got(std::move(model));
  EXPECT_THAT(error_of<ShapeError>([&] { got.classify(tiny_data().image(0)); }), HasSubstr("not finite"));
}

TEST_F(ModelFileTest, WritesNothingThatItWouldNotRead) {
  const nn::Sequential net = tiny_network();
  ModelFile model{state_of(net), nn::trace(net, {1, 1, 16, 24}, Mode::eval), {}, {std::string(1025, 'c')}};
  EXPECT_THROW(save_model(file("m"), model), FormatError) << "a class";
  model.classes = {"bag", "caf\xe9"};
  try {
    save_model(file("m"), model);
    ADD_FAILURE() << "a class whose name is not UTF-8 was saved";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the name of the class 'caf\\xe9' is not UTF-8"));
    EXPECT_THAT(error.hint(), HasSubstr("give it a name in UTF-8"));
  }
  model.classes.clear();
  model.state.emplace_back(std::string(1025, 't'), Tensor({2}));
  EXPECT_THROW(save_model(file("m"), model), FormatError) << "a tensor";
  EXPECT_FALSE(std::filesystem::exists(file("m")));
}

// What read_model() would refuse, and modules whose names no text can hold.
TEST_F(ModelFileTest, RefusesToSaveNetworksThatAreNoneOfPictures) {
  graph::Graph flat;
  flat.add_output("output", flat.add_node(ops::make<ops::Relu>(), "relu",
                                          {flat.add_input("images", {Shape{1, 24}, DType::f32})})[0]);
  EXPECT_THAT(error_of([&] {
                save_model(file("m"), {{}, flat, {}, {}});
              }),
              HasSubstr("a network whose input is not [N,C,H,W]"));
  graph::Graph through;
  through.add_output("output", through.add_input("images", {Shape{1, 1, 4, 4}, DType::f32}));
  EXPECT_THAT(error_of([&] {
                save_model(file("m"), {{}, through, {}, {}});
              }),
              HasSubstr("its output is F32 [1,1,4,4], a computed F32 was expected"));
  graph::Graph map;
  const auto picture = map.add_input("images", {Shape{1, 1, 4, 4}, DType::f32});
  map.add_output("output", map.add_node(ops::make<ops::Relu>(), "relu", {picture})[0]);
  EXPECT_THAT(error_of([&] {
                save_model(file("m"), {{}, map, {}, {"cat"}});
              }),
              HasSubstr("1 classes of a network whose output is [1,1,4,4]"));
  io::Safetensors read = saved();
  read.metadata["resnet.graph"] = graph::to_json(flat);
  EXPECT_THAT(error_of_file(read), HasSubstr("does not take 'images' F32 [N,C,H,W] alone"));
  std::filesystem::remove(file("m"));
  graph::Graph strange;
  const auto x = strange.add_input("images", {Shape{1, 1, 4, 4}, DType::f32});
  strange.add_output("output", strange.add_node(ops::make<ops::Relu>(), "caf\xe9", {x})[0]);
  EXPECT_THAT(error_of([&] {
                save_model(file("m"), {{}, strange, {}, {}});
              }),
              HasSubstr("the name of a module is not UTF-8"));
  EXPECT_FALSE(std::filesystem::exists(file("m")));
}

TEST_F(ModelFileTest, ClassifiesWithOutputsForEachPictureAlone) {
  graph::Graph map;
  const auto x = map.add_input("images", {Shape{1, 1, 4, 4}, DType::f32});
  map.add_output("output", map.add_node(ops::make<ops::Relu>(), "relu", {x})[0]);
  Model model({{}, map, {}, {}});
  EXPECT_THAT(error_of<ShapeError>([&] {
                model.classify({4, 4, 1, std::vector<std::uint8_t>(16)});
              }),
              HasSubstr("classify: expected an output [N,classes], got [1,1,4,4]"));
}

// A count of batches may be missing, one too many, or of another kind: nothing depends on it.
TEST_F(ModelFileTest, LoadsWeightsWhateverTheirCountsAre) {
  io::Safetensors model = saved("resnet18");
  for (auto& [name, tensor] : model.tensors) {
    if (name.ends_with("num_batches_tracked")) tensor = Tensor(tensor.shape(), DType::f64);
  }
  EXPECT_EQ(error_of_file(model), "") << "evaluation needs none";
  nn::Sequential net = models::make("resnet18", kTiny);
  EXPECT_EQ(error_of([&] { load_weights(net, file("damaged")); }), "");
  model = saved();
  model.tensors.emplace_back("num_batches_tracked", Tensor(Shape{}, DType::i64));
  EXPECT_EQ(error_of_file(model), "") << "one too many says nothing";
}

TEST_F(ModelFileTest, ShowsNoNameThatATerminalWouldObey) {
  io::Safetensors model = saved();
  const std::string name = std::string("\x1b[31m\0\u202e\u009b", 11) + std::string(900, 'n');
  model.tensors.emplace_back(name, Tensor({2}));
  const std::string message = error_of_file(model);
  EXPECT_THAT(message, HasSubstr("\\x1b[31m\\x00\\u202e\\u009bnnn"));
  EXPECT_LE(message.size(), 300U);
  model = saved();
  model.metadata["resnet.format"] = name;
  EXPECT_LE(error_of_file(model).size(), 300U);
  EXPECT_THAT(error_of_file(model), HasSubstr("this program reads 1"));
}

TEST_F(ModelFileTest, ClassifyRefusesAnImageWithoutPixels) {
  save_model(file("m"), tiny_network(), tiny_data());
  Model model = load_model(file("m"));
  EXPECT_THROW(model.classify(data::Image{}), ShapeError);
}

TEST_F(ModelFileTest, FailsToSaveWithoutHarmToTheOldFile) {
  const nn::Sequential net = tiny_network();
  save_model(file("m"), net, tiny_data());
  const std::string before = read(file("m"));
  {
    const SmallDisk disk(before.size() - 1);
    EXPECT_THROW(save_model(file("m"), net, tiny_data()), IoError);
  }
  EXPECT_THROW(save_model(file("none") / "m", net, tiny_data()), IoError);
  ModelFile incomplete = read_model(file("m"));
  incomplete.state.pop_back();
  EXPECT_THROW(save_model(file("m"), incomplete), FormatError) << "what could not be read is not written";
  EXPECT_EQ(read(file("m")), before);
}

TEST_F(ModelFileTest, MissingIsAnIoErrorThatNamesIt) {
  try {
    static_cast<void>(load_model(file("none")));
    FAIL() << "nothing thrown";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file("none").string()));
  }
}

// ---- weights

TEST_F(ModelFileTest, WeightsOfAModelFileFillANetwork) {
  const nn::Sequential net = tiny_network("resnet50");
  save_model(file("m"), net, tiny_data());
  nn::Sequential other = models::make("resnet50", kTiny);
  load_weights(other, file("m"));
  expect_same_bits(state_of(net), state_of(other));
}

TEST_F(ModelFileTest, WeightsOfAPlainFileFillANetworkInAnyOrder) {
  const nn::Sequential net = tiny_network("resnet18");
  State state = state_of(net);
  std::reverse(state.begin(), state.end());
  io::write_safetensors(file("plain"), state, {{"format", "pt"}});
  nn::Sequential other = models::make("resnet18", kTiny);
  load_weights(other, file("plain"));
  expect_same_bits(state_of(net), state_of(other));
}

TEST_F(ModelFileTest, WeightsThatDoNotFitLeaveTheNetworkUntouched) {
  const nn::Sequential saved_net = tiny_network("resnet18");
  save_model(file("m"), saved_net, tiny_data());
  const auto refused = [&](nn::Sequential net, const std::filesystem::path& path) {
    const State before = state_of(net);
    const std::string message = error_of([&] { load_weights(net, path); });
    expect_same_bits(before, state_of(net));
    return message;
  };
  const auto network = [](const std::string& model, const models::ResNetOptions& options) {
    nn::Sequential net = models::make(model, options);
    nn::init(net, net.scheme(), 99);
    return net;
  };
  models::ResNetOptions options = kTiny;
  options.classes = 4;
  EXPECT_THAT(refused(network("resnet18", options), file("m")),
              ::testing::AllOf(HasSubstr(file("m").string() + ": tensor 'fc.weight' is F32 [3,8]"),
                               HasSubstr("the network has F32 [4,8]")));
  options = kTiny;
  options.blocks = {1, 2};
  EXPECT_THAT(refused(network("resnet18", options), file("m")),
              HasSubstr("tensor 'layer2.1.conv1.weight' F32 [8,8,3,3] is missing"));
  options.blocks = {1};
  options.channels = {4};
  EXPECT_THAT(refused(network("resnet18", options), file("m")), HasSubstr("fc.weight"));
  EXPECT_THAT(refused(network("d2l_resnet18", kTiny), file("m")), HasSubstr("is missing"));
  State state = state_of(saved_net);
  state.emplace_back("extra", Tensor({1}));
  io::write_safetensors(file("extra"), state);
  EXPECT_THAT(refused(network("resnet18", kTiny), file("extra")),
              HasSubstr("'extra' F32 [1] is not in the network"));
  state = state_of(saved_net);
  state[0].second = Tensor(state[0].second.shape(), DType::f64);
  io::write_safetensors(file("f64"), state);
  nn::Sequential widened = network("resnet18", kTiny);
  load_weights(widened, file("f64"));  // the conversion is said in its report
  EXPECT_EQ(state_of(widened)[0].second.values()[0], 0.0F);
}

}  // namespace
}  // namespace resnet
