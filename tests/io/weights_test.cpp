// Weights from files of every kind, for networks that they fit, and for those that they fit but for a part.
#include "resnet/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "io/folder_test.h"
#include "io/safetensors.h"
#include "support/networks.h"
#include "support/pth_file.h"

namespace resnet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class WeightsTest : public FolderTest {
 protected:
  template <class Call>
  static std::string error_of(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    return "nothing was refused";
  }
  std::string refused(const std::string& name) {
    return error_of([&] { static_cast<void>(read_weights(file(name))); });
  }
};

models::ResNetOptions small(std::int64_t classes, std::int64_t channels = 1) {
  return {.in_channels = channels, .classes = classes, .blocks = {1, 1}, .channels = {4, 8}};
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

void expect_equal(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_TRUE(equal(a[i].second, b[i].second)) << a[i].first;
  }
}

nn::Sequential fresh(const std::string& model, const models::ResNetOptions& options) {
  nn::Sequential net = models::make(model, options);
  nn::init(net, net.scheme(), 5);
  return net;
}

// ---- another head, other channels

TEST_F(WeightsTest, AHeadOfOtherClassesBeginsAnewWhereThatIsAllowed) {
  for (const auto& [name, head] :
       {std::pair("d2l_resnet18", "5."), {"resnet18", "fc."}, {"resnetv2_18", "head.fc."}}) {
    const std::string model = name;
    SCOPED_TRACE(model);
    const nn::Sequential trained = test::random_network(model, small(10));
    io::write_safetensors(file(model), state_of(trained));
    nn::Sequential net = fresh(model, small(3));
    const State before = state_of(net), theirs = state_of(trained);
    EXPECT_THAT(error_of([&] { load_weights(net, file(model)); }),
                AllOf(HasSubstr(std::string("'") + head + "weight' is F32 [10,8"),
                      HasSubstr("LoadOptions::replace_head")));
    expect_equal(state_of(net), before);
    const LoadReport report = load_weights(net, file(model), {.replace_head = true});
    EXPECT_TRUE(report.new_head);
    EXPECT_THAT(report.decisions, ElementsAre(HasSubstr("begins anew: 10 outputs in the file, 3 here")));
    const State after = state_of(net);
    ASSERT_EQ(after.size(), theirs.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      const bool of_head = after[i].first.starts_with(head);
      EXPECT_TRUE(equal(after[i].second, of_head ? before[i].second : theirs[i].second)) << after[i].first;
    }
  }
}

TEST_F(WeightsTest, AHeadOfAsManyClassesIsTakenToo) {
  const nn::Sequential trained = test::random_network("resnet18", small(3));
  io::write_safetensors(file("m"), state_of(trained));
  nn::Sequential net = fresh("resnet18", small(3));
  const LoadReport report = load_weights(net, file("m"), {.replace_head = true, .adapt_input = true});
  EXPECT_FALSE(report.new_head);
  EXPECT_THAT(report.decisions, IsEmpty());
  expect_equal(state_of(net), state_of(trained));
}

TEST_F(WeightsTest, AHeadOfAsManyOtherClassesBeginsAnewWhereTheFileNamesThem) {
  const nn::Sequential trained = test::random_network("resnet18", small(3));
  io::write_safetensors(file("m"), state_of(trained), {{"resnet.classes", R"(["cat","dog","hen"])"}});
  for (const std::vector<std::string>& classes : {std::vector<std::string>{},
                                                  {"cat", "dog", "hen"},
                                                  {"apple", "pear", "plum"},
                                                  {"dog", "cat", "hen"}}) {
    const bool same = classes.empty() || classes.front() == "cat";
    nn::Sequential net = fresh("resnet18", small(3));
    const Tensor before = state_of(net).back().second;
    const LoadReport report = load_weights(net, file("m"), {.replace_head = true, .classes = classes});
    EXPECT_EQ(report.new_head, !same);
    if (!same)
      EXPECT_THAT(report.decisions,
                  ElementsAre("the head 'fc' begins anew: its classes are others in the file"));
    EXPECT_TRUE(equal(state_of(net).back().second, same ? state_of(trained).back().second : before));
    EXPECT_FALSE(load_weights(net, file("m"), {.classes = classes}).new_head) << "where that is not allowed";
  }
  io::write_safetensors(file("m"), state_of(trained), {{"resnet.classes", "cat"}});
  nn::Sequential net = fresh("resnet18", small(3));
  EXPECT_THAT(error_of([&] { load_weights(net, file("m"), {.replace_head = true, .classes = {"cat"}}); }),
              HasSubstr("/m: "));
}

TEST_F(WeightsTest, AHeadThatTheFileLacksBeginsAnew) {
  State state = state_of(test::random_network("resnet18", small(3)));
  std::erase_if(state, [](const auto& value) { return value.first.starts_with("fc."); });
  io::write_safetensors(file("m"), state);
  nn::Sequential net = fresh("resnet18", small(3));
  EXPECT_THAT(error_of([&] { load_weights(net, file("m")); }), HasSubstr("'fc.weight' F32 [3,8] is missing"));
  EXPECT_THAT(load_weights(net, file("m"), {.replace_head = true}).decisions,
              ElementsAre("the head 'fc' begins anew: the file has none"));
}

TEST_F(WeightsTest, TheFirstConvolutionIsAdaptedAsTimmDoes) {
  const nn::Sequential trained = test::random_network("resnet18", small(3, 3));
  io::write_safetensors(file("m"), state_of(trained));
  const Tensor theirs = state_of(trained)[0].second;  // [4,3,7,7]
  for (const std::int64_t channels : {1, 2, 4, 5, 7}) {
    nn::Sequential net = fresh("resnet18", small(3, channels));
    EXPECT_THAT(error_of([&] { load_weights(net, file("m")); }), HasSubstr("LoadOptions::adapt_input"));
    const LoadReport report = load_weights(net, file("m"), {.adapt_input = true});
    EXPECT_TRUE(report.adapted_input);
    EXPECT_THAT(report.decisions, ElementsAre(HasSubstr("adapted from 3 input channels to")));
    const Tensor ours = state_of(net)[0].second;
    for (std::int64_t o = 0; o < 4; ++o) {
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t i = 0; i < 49; ++i) {
          const auto at = [&](std::int64_t k) { return theirs.view<float>()[(o * 3 + k) * 49 + i]; };
          const float expected =
              channels == 1 ? at(0) + at(1) + at(2) : at(c % 3) * (3.0F / static_cast<float>(channels));
          ASSERT_EQ(ours.view<float>()[(o * channels + c) * 49 + i], expected)
              << channels << ' ' << o << ' ' << c;
        }
      }
    }
  }
}

TEST_F(WeightsTest, AnotherNetworkIsRefusedAndNamed) {
  io::write_safetensors(file("m"), state_of(test::random_network("resnet18", small(3, 3))));
  nn::Sequential wider = fresh("resnet18", {.classes = 3, .blocks = {1, 1}, .channels = {8, 8}});
  const State before = state_of(wider);
  EXPECT_THAT(error_of([&] { load_weights(wider, file("m"), {.replace_head = true, .adapt_input = true}); }),
              AllOf(HasSubstr("tensor 'conv1.weight' is F32 [4,3,7,7], the network has F32 [8,3,7,7]"),
                    HasSubstr("the file holds torchvision resnet18 with blocks 1,1, channels 4,8, "
                              "stem-channels 4, 3 classes")));
  expect_equal(state_of(wider), before);
}

struct Holder : nn::Module {
  explicit Holder(nn::Sequential net) : inner(&add("model", std::move(net))) {}
  Value operator()(Value x) const override { return (*inner)(x); }
  nn::Sequential* inner;
};

TEST_F(WeightsTest, APrefixThatTheNetworkHasStays) {
  Holder trained(test::random_network("resnet18", small(3)));
  io::write_safetensors(file("m"), state_of(trained));
  Holder net(models::make("resnet18", small(3)));
  load_weights(net, file("m"));
  expect_equal(state_of(net), state_of(trained));
  Network network = network_of(trained, {1, 1, 32, 32});
  const ModelFile model{std::move(network.state), std::move(network.eval), {.channels = 1}, {}};
  save_model(file("model"), model);
  expect_equal(import_model(file("model")).state, model.state);
}

TEST_F(WeightsTest, APrefixOfTheNetworkStaysAfterATrainings) {
  Holder trained(test::random_network("resnet18", small(3)));
  State state = state_of(trained);
  for (auto& [name, tensor] : state) name.insert(0, "module.");
  io::write_safetensors(file("m"), state);
  Holder net(models::make("resnet18", small(3)));
  load_weights(net, file("m"));
  expect_equal(state_of(net), state_of(trained));
}

TEST_F(WeightsTest, APipeIsRefused) {
  const auto says = HasSubstr("/dev/zero is a device or a pipe");
  EXPECT_THAT(error_of([] { static_cast<void>(read_weights("/dev/zero")); }), says);
  EXPECT_THAT(error_of([] { static_cast<void>(io::read_safetensors("/dev/zero")); }), says);
}

// ---- recognition

TEST_F(WeightsTest, EveryNetworkOfTheZooIsRecognised) {
  const std::vector<std::int64_t> narrow = {16, 32, 64, 128};  // 1/16 of the numbers
  for (const std::string& name : models::names()) {
    Weights weights{"m", {}};
    nn::for_each_parameter(models::make(name, {.classes = 7, .channels = narrow}),
                           [&](const std::string& tensor, const nn::Parameter& parameter) {
                             weights.tensors.emplace_back(tensor, Tensor(parameter.shape));
                           });
    const Recognition found = recognise(weights);
    EXPECT_EQ(found.model, name);
    EXPECT_EQ(found.own_options, "channels 16,32,64,128, stem-channels 16") << name;
    EXPECT_THAT(found.differences, IsEmpty()) << name;
    EXPECT_EQ(found.options.classes, 7) << name;
    const bool timm = name.starts_with("se") || name.starts_with("resnetv2") ||
                      (name.starts_with("resnet") && name.ends_with('d'));
    EXPECT_EQ(found.family, name.starts_with("d2l") ? "the chapter's"
                            : timm                  ? "timm"
                                                    : "torchvision")
        << name;
  }
}

TEST_F(WeightsTest, OptionsOfANetworkAreRecognised) {
  using models::Block, models::Stem, nn::Shortcut;
  const std::pair<const char*, models::ResNetOptions> cases[] = {
      {"resnet18",
       {.in_channels = 1, .classes = 10, .blocks = {1, 2}, .channels = {16, 24}, .stem = Stem::small}},
      {"resnet50",
       {.classes = 2, .blocks = {1, 1}, .channels = {8, 16}, .stem = Stem::deep, .stem_channels = 12}},
      {"resnet18", {.classes = 2, .blocks = {1, 1}, .channels = {8, 16}, .shortcut = Shortcut::none}},
      {"resnet34", {.classes = 2, .blocks = {1, 2}, .channels = {32, 32}, .se_reduction = 4}},
      {"resnext50_32x4d",
       {.classes = 2, .blocks = {1, 1}, .channels = {32, 64}, .groups = 2, .width_per_group = 32}},
      {"d2l_resnet18",
       {.in_channels = 3, .classes = 2, .blocks = {2, 1}, .channels = {8, 8}, .stem = Stem::small}},
      {"d2l_resnet50", {.classes = 2, .blocks = {1, 1}, .channels = {8, 16}, .stem = Stem::deep}},
      {"resnetv2_50", {.classes = 2, .blocks = {1, 2}, .channels = {8, 16}, .se_reduction = 2}},
  };
  for (const auto& [name, options] : cases) {
    const nn::Sequential net = fresh(name, options);
    const Recognition found = recognise({"m", state_of(net)});
    EXPECT_THAT(found.differences, IsEmpty()) << name << ": " << to_string(found);
    nn::Sequential again = models::make(found.model, found.options);
    load_weights(again, Weights{"m", state_of(net)});
    expect_equal(state_of(again), state_of(net));
  }
}

TEST_F(WeightsTest, TheNearestNetworkIsNamedWithWhatDiffers) {
  State state = state_of(test::random_network("resnet18", small(3, 3)));
  state.emplace_back("layer1.0.attention.weight", Tensor(Shape{4}));
  std::erase_if(state, [](const auto& value) { return value.first == "layer2.0.bn2.bias"; });
  const Recognition found = recognise({"m", state});
  EXPECT_EQ(found.model, "resnet18");
  ASSERT_EQ(found.differences.size(), 2U);
  EXPECT_EQ(to_string(found.differences[0]), "tensor 'layer2.0.bn2.bias' F32 [8] is missing");
  EXPECT_EQ(to_string(found.differences[1]),
            "tensor 'layer1.0.attention.weight' F32 [4] is not in the network");
  EXPECT_THAT(error_of([&] {
                static_cast<void>(import_model(Weights{"m", state}));
              }),
              HasSubstr("m: not torchvision resnet18"));
  const Recognition none = recognise({"m", {{"features.0.weight", Tensor(Shape{64, 3, 11, 11})}}});
  EXPECT_EQ(to_string(none), "none of the zoo");
  EXPECT_EQ(none.differences.size(), 1U);
  for (const Shape& shape : {Shape{}, Shape{0, 0, 0, 0}, Shape{4, 0, 7, 7}}) {  // which no network has
    const Weights weights{"m", {{"conv1.weight", Tensor(shape)}, {"layer1.0.conv1.weight", Tensor(shape)}}};
    EXPECT_FALSE(recognise(weights).differences.empty()) << shape;
  }
}

// ---- files

TEST_F(WeightsTest, AWrappedPthIsUnwrappedAndImported) {
  namespace p = test::pickle;
  nn::Sequential net = test::random_network("resnet18", small(3, 3));
  const State state = state_of(net);
  std::vector<std::pair<std::string, std::string>> items, storages;
  for (const auto& [name, tensor] : state) {
    std::vector<std::int64_t> sizes(tensor.shape().begin(), tensor.shape().end()), strides(sizes.size(), 1);
    for (std::size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
    const std::string key = std::to_string(storages.size());
    const char* type = tensor.dtype() == DType::i64 ? "LongStorage" : "FloatStorage";
    items.emplace_back("module." + name,
                       p::tensor(p::storage(type, key, tensor.shape().elements()), 0, sizes, strides));
    storages.emplace_back(key, std::string(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes()));
  }
  write(file("m.pth"),
        test::pth_of(p::of(p::dict({{"epoch", p::whole(1)}, {"state_dict", p::dict(items)}})), storages));
  const Weights weights = read_weights(file("m.pth"));
  EXPECT_THAT(weights.notes, ElementsAre("'state_dict' was taken of 'epoch', 'state_dict'",
                                         "'module.' was taken off all names"));
  const ModelFile model = import_model(weights, {.classes = {"a", "b", "c"}});
  expect_equal(model.state, state);
  EXPECT_EQ(
      data::to_json(model.preprocessing),
      R"({"resize":[256,0],"interpolation":"pil_bilinear","channels":3,"scale":"divide_by_255","crop":[224,224],"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]})");
  save_model(file("m.safetensors"), model);
  const ModelFile again = import_model(file("m.safetensors"));  // a model file stays what it is
  EXPECT_EQ(graph::to_json(again.graph), graph::to_json(model.graph));
  EXPECT_THAT(again.classes, ElementsAre("a", "b", "c"));
  const Tensor images = random_uniform({2, 3, 33, 31});
  Model engine(again);
  EXPECT_THAT(engine.infer(images.view<float>()).values(),
              ::testing::ElementsAreArray(forward(net, images).values()));
  EXPECT_THAT(error_of([&] { static_cast<void>(import_model(weights, {.classes = {"a"}})); }),
              HasSubstr("1 names for the 3 classes"));
}

// A header and data of one tensor.
std::string safetensors_of(const std::string& dtype, const std::string& shape, const std::string& data,
                           const std::string& name = "x") {
  const std::string header = R"({")" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape +
                             R"(,"data_offsets":[0,)" + std::to_string(data.size()) + "]}}";
  return test::little_endian(header.size(), 8) + header + data;
}

TEST_F(WeightsTest, EveryTypeOfSafetensorsIsRead) {
  const auto tensor = [&](const char* dtype, const std::string& data) {
    write(file("m"), safetensors_of(dtype, "[2]", data));
    return read_weights(file("m")).tensors.at(0).second;
  };
  EXPECT_THAT(tensor("F16", std::string("\x00\x3c\x01\x80", 4)).values(), ElementsAre(1, -0x1p-24F));
  EXPECT_THAT(tensor("BF16", std::string("\x80\x3f\x00\xc0", 4)).values(), ElementsAre(1, -2));
  EXPECT_THAT(tensor("I8", "\xff\x7f").view<std::int32_t>().span(), ElementsAre(-1, 127));
  EXPECT_THAT(tensor("I16", "\xfe\xff\x01\x01").view<std::int32_t>().span(), ElementsAre(-2, 257));
  EXPECT_THAT(tensor("BOOL", std::string("\x01\x00", 2)).view<std::uint8_t>().span(), ElementsAre(1, 0));
  write(file("m"), safetensors_of("F8_E4M3", "[2]", "xx"));
  EXPECT_THAT(refused("m"), HasSubstr("dtype 'F8_E4M3' is not supported"));
}

TEST_F(WeightsTest, RoundingOfDoublesIsTold) {
  const auto notes = [&](double value) {
    Tensor tensor(Shape{1}, DType::f64);
    *tensor.view<double>().data = value;
    io::write_safetensors(file("m"), {{"x", tensor}});
    return read_weights(file("m")).notes;
  };
  EXPECT_THAT(notes(0.5), ElementsAre("1 tensors of f64 became f32, exactly"));
  EXPECT_THAT(notes(0.1), ElementsAre("1 tensors of f64 became f32, 1 of them with rounding"));
  EXPECT_THAT(error_of([&] { notes(-1e300); }), HasSubstr("m: 'x' has -1e+300, f32 ends at 3.4e38"));
}

TEST_F(WeightsTest, ThatAreNoneOrNotFiniteAreNoModel) {
  write(file("m"), std::string("\2\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(refused("m"), HasSubstr("m: it has no tensors"));
  nn::Sequential net = test::random_network("resnet18", small(3));
  State state = state_of(net);
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    state[0].second.values()[0] = value;
    io::write_safetensors(file("m"), state);
    EXPECT_THAT(error_of([&] { static_cast<void>(import_model(file("m"))); }),
                HasSubstr("m: 'conv1.weight' has numbers that are not finite"));
  }
}

TEST_F(WeightsTest, CountsOfACastModelAreWholeAgain) {
  Tensor count{Shape{}};
  count.values()[0] = 1500;
  io::write_safetensors(file("m"),
                        {{"bn1.num_batches_tracked", count}, {"n_averaged", Tensor(Shape{}, DType::i64)}});
  const Weights weights = read_weights(file("m"));
  ASSERT_EQ(weights.tensors.size(), 1U) << "the average's count is no weight";
  EXPECT_EQ(*weights.tensors[0].second.view<std::int64_t>().data, 1500);
}

TEST_F(WeightsTest, AFileInPartsIsReadByItsIndex) {
  const nn::Sequential net = test::random_network("resnet18", small(3, 3));
  const State state = state_of(net);
  io::NamedTensors parts[2];
  std::string map;
  for (std::size_t i = 0; i < state.size(); ++i) {
    parts[i % 2].push_back(state[i]);
    map += (i > 0 ? ",\"" : "\"") + state[i].first + "\":\"part-" + std::to_string(i % 2) + "\"";
  }
  io::write_safetensors(file("part-0"), parts[0]);
  io::write_safetensors(file("part-1"), parts[1]);
  const auto index = [&](const std::string& entries) {
    write(file("index.json"), "{\"metadata\":{},\"weight_map\":{" + entries + "}}");
  };
  index(map);
  expect_equal(import_model(file("index.json")).state, state);
  index(map + R"(,"more":"part-0")");
  EXPECT_THAT(refused("index.json"), HasSubstr("part-0: it has no 'more'"));
  index(R"("conv1.weight":"part-0")");
  EXPECT_THAT(refused("index.json"), HasSubstr("which index.json does not say"));
  for (const char* outside : {"../part-0", "/part-0", "a/part-0", "", "..", "."}) {
    index(std::string(R"("conv1.weight":")") + outside + "\"");
    EXPECT_THAT(refused("index.json"), HasSubstr("is not beside it")) << outside;
  }
  index(R"("conv1.weight":"part-0\u0000")");
  EXPECT_THAT(refused("index.json"), HasSubstr("is not beside it")) << "the system would open part-0";
  io::write_safetensors(file("part-2"), {});
  index(R"("conv1.weight":"part-2","fc.weight":"part-3")");
  EXPECT_THAT(refused("index.json"), HasSubstr("part-2: it has no 'conv1.weight'"))
      << "before another is read";
  index("");
  EXPECT_THAT(refused("index.json"), HasSubstr("no \"weight_map\""));
  index(R"("conv1.weight":"none")");
  EXPECT_THAT(refused("index.json"), HasSubstr("none"));
  EXPECT_THAT(error_of([&] { static_cast<void>(read_model(file("index.json"))); }),
              HasSubstr("the index of a safetensors file in parts"));
}

TEST_F(WeightsTest, WhatIsNoFileOfWeightsIsCalledByItsName) {
  using namespace std::string_literals;
  const std::pair<std::string, const char*> cases[] = {
      {"", "is empty"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 46830571\n", "is a git-lfs pointer"},
      {"<!DOCTYPE html><html></html>", "is a web page"},
      {"\n  <HTML>", "is a web page"},
      {"\x08\x07\x12\x07pytorch\x1a\x05"s + "2.0.0", "is an ONNX model"},
      {"\x1f\x8b\x08\0\0\0\0\0\0\3"s, "is a gzip file"},
      {std::string(257, 'x') + "ustar\0"s + "00" + std::string(500, '\0'), "is a tar archive"},
      {"\x89HDF\r\n\x1a\n"s, "is an HDF5 file"},
      {"\x89PNG\r\n\x1a\n"s, "is a picture (PNG)"},
      {"\xff\xd8\xff\xe0"s + "JFIF....", "is a picture (JPEG)"},
      {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s,
       "is a PyTorch file from before PyTorch 1.6"},
      {"\x80\x04\x95\x10\0\0\0\0\0\0\0N."s, "is a Python pickle"},
      {"\x93NUMPY\1\0"s, "is a NumPy array"},
  };
  for (const auto& [content, says] : cases) {
    write(file("m"), content);
    EXPECT_THAT(refused("m"), HasSubstr(file("m").string() + " " + says));
    EXPECT_THAT(error_of([&] { static_cast<void>(read_model(file("m"))); }),
                HasSubstr(file("m").string() + " " + says));
  }
  write(file("m"), test::zip_of({{"archive/data.pkl", "x"}}));
  EXPECT_THAT(error_of([&] { static_cast<void>(read_model(file("m"))); }),
              AllOf(HasSubstr("is PyTorch's"), HasSubstr("resnet import")));
  write(file("m"), "neither");
  EXPECT_THAT(refused("m"), HasSubstr("7 bytes are too few for a safetensors file"));
}

TEST_F(WeightsTest, AnIndexOfPartsThatIsNoneIsRefused) {
  const auto refusal = [&](const std::string& text) {
    write(file("index.json"), text);
    return refused("index.json");
  };
  EXPECT_THAT(refusal("{\"weight_map\":"), AllOf(HasSubstr("index.json: JSON: unexpected text or end"),
                                                 HasSubstr("\"weight_map\", with the file of each")));
  EXPECT_THAT(refusal(R"({"weight_map":["part-0"]})"), HasSubstr("it has no \"weight_map\""));
  EXPECT_THAT(refusal(R"({"weight_map":{"a":7}})"), HasSubstr("the file of 'a' is no text"));
  std::string many = R"({"weight_map":{"x":"part-0")";
  for (int i = 0; i < 1 << 14; ++i) many += ",\"" + std::to_string(i) + R"(":"part-0")";
  EXPECT_THAT(refusal(many + "}}"), HasSubstr("more than 16384 tensors"));
  io::write_safetensors(file("part-0"), {{"a", Tensor(Shape{1})}});
  io::write_safetensors(file("part-1"), {{"b", Tensor(Shape{1})}});
  EXPECT_EQ(refusal(R"({"weight_map":{"a":"part-0","b":"part-1"}})"), "nothing was refused");
  EXPECT_THAT(refusal(R"({"weight_map":{"a":"part-1","b":"part-0"}})"),
              HasSubstr("part-0: it has 'a', which index.json does not say"));
}

// 123 bytes of header: the first byte of their number is a brace, as of an index.
TEST_F(WeightsTest, AHeaderWhoseLengthBeginsLikeATextIsNoIndex) {
  std::string name = "x";
  while (safetensors_of("F32", "[1]", "abcd", name).size() < 8 + 123 + 4) name += 'x';
  const std::string bytes = safetensors_of("F32", "[1]", "abcd", name);
  ASSERT_EQ(bytes[0], '{');
  write(file("m"), bytes);
  EXPECT_EQ(read_weights(file("m")).tensors.at(0).first, name);
}

TEST_F(WeightsTest, CountsAreMadeWholeWhereTheyAre) {
  const auto read_back = [&](Tensor count) {
    io::write_safetensors(file("m"), {{"bn.num_batches_tracked", std::move(count)}});
    return read_weights(file("m")).tensors.at(0).second;
  };
  const auto of = [](float value) {
    Tensor count{Shape{}};
    count.values()[0] = value;
    return count;
  };
  Tensor narrow(Shape{}, DType::i32), wide(Shape{1}, DType::f64), whole(Shape{}, DType::i64);
  *narrow.view<std::int32_t>().data = 7;
  *wide.view<double>().data = 3;
  *whole.view<std::int64_t>().data = 9;
  for (const auto& [count, value] : {std::pair(narrow, 7), {wide, 3}, {whole, 9}, {of(0), 0}}) {
    const Tensor got = read_back(count);
    ASSERT_EQ(got.dtype(), DType::i64);
    EXPECT_EQ(*got.view<std::int64_t>().data, value);
  }
  for (const float value : {-1.0F, 1.5F, 0x1p62F, INFINITY}) {
    const Tensor got = read_back(of(value));
    ASSERT_EQ(got.dtype(), DType::f32) << value;
    EXPECT_EQ(got.values()[0], value);
  }
  EXPECT_EQ(read_back(Tensor(Shape{2})).dtype(), DType::f32) << "two are no count";
  EXPECT_EQ(read_back(Tensor(Shape{}, DType::u8)).dtype(), DType::u8);
}

TEST_F(WeightsTest, WhatLooksLikeAnAverageOrAPrefixAndIsNoneStays) {
  const auto names_of = [&](const std::vector<std::pair<std::string, Shape>>& tensors) {
    io::NamedTensors state;
    for (const auto& [name, shape] : tensors) state.emplace_back(name, Tensor(shape, DType::i64));
    io::write_safetensors(file("m"), state);
    std::vector<std::string> names;
    for (const auto& [name, tensor] : read_weights(file("m")).tensors) names.push_back(name);
    return names;
  };
  EXPECT_THAT(names_of({{"n_averaged", {}}}), ElementsAre("n_averaged")) << "nothing else is there";
  EXPECT_THAT(names_of({{"n_averaged", {2}}, {"a", {}}}), ElementsAre("n_averaged", "a")) << "two numbers";
  EXPECT_THAT(names_of({{"module.", {}}, {"module.a", {}}}), ElementsAre("module.", "module.a"))
      << "no name would be left";
  EXPECT_THAT(names_of({{"module.a", {}}, {"b", {}}}), ElementsAre("module.a", "b"));
  EXPECT_THAT(names_of({{"module._orig_mod.a", {}}, {"n_averaged", {}}}), ElementsAre("a"));
}

TEST_F(WeightsTest, OfOneOrTwoInputChannelsAreAdaptedWhereThatMeansSomething) {
  const auto load = [&](std::int64_t theirs, std::int64_t ours) {
    const State state = state_of(test::random_network("resnet18", small(3, theirs)));
    nn::Sequential net = fresh("resnet18", small(3, ours));
    const std::string error = error_of([&] { load_weights(net, {"m", state}, {.adapt_input = true}); });
    if (error != "nothing was refused") return std::pair(error, 0.0F);
    const auto from = state[0].second.values();
    float expected = from[0] / static_cast<float>(ours);
    if (ours == 1) expected = from[0] + (theirs == 2 ? from[49] : 0);
    return std::pair(error, state_of(net)[0].second.values()[0] - expected);
  };
  EXPECT_EQ(load(1, 3), std::pair(std::string("nothing was refused"), 0.0F));
  EXPECT_EQ(load(2, 1), std::pair(std::string("nothing was refused"), 0.0F));
  EXPECT_THAT(load(2, 3).first, HasSubstr("'conv1.weight' is F32 [4,2,7,7], the network has F32 [4,3,7,7]"));
  EXPECT_THAT(load(4, 3).first, HasSubstr("'conv1.weight' is F32 [4,4,7,7]"));
}

TEST_F(WeightsTest, ThatLackTheirCountsLeaveThoseOfTheNetwork) {
  State state = state_of(test::random_network("resnet18", small(3)));
  std::erase_if(state, [](const auto& value) { return value.first.ends_with("num_batches_tracked"); });
  const auto count_of = [](const nn::Sequential& net) {
    for (const auto& [name, tensor] : state_of(net))
      if (name == "bn1.num_batches_tracked") return *tensor.view<std::int64_t>().data;
    return std::int64_t{-1};
  };
  nn::Sequential net = models::make("resnet18", small(3));
  load_weights(net, {"m", state});
  EXPECT_EQ(count_of(net), 0) << "it had none";
  State counted = state_of(net);
  for (auto& [name, tensor] : counted)
    if (name == "bn1.num_batches_tracked") *tensor.view<std::int64_t>().data = 5;
  set_state(net, counted);
  load_weights(net, {"m", state});
  EXPECT_EQ(count_of(net), 5);
}

TEST_F(WeightsTest, WhatAFileHoldsIsSaidInWords) {
  const auto words = [](const std::string& model, const models::ResNetOptions& options) {
    return to_string(recognise({"m", state_of(fresh(model, options))}));
  };
  using models::Block, models::Stem, nn::Shortcut;
  EXPECT_EQ(
      words("resnet18",
            {.in_channels = 1, .classes = 1, .blocks = {1, 2}, .channels = {16, 24}, .stem = Stem::small}),
      "torchvision resnet18 with blocks 1,2, channels 16,24, stem small, stem-channels 16, 1 class, "
      "1 input channel");
  EXPECT_EQ(
      words("d2l_resnet18",
            {.in_channels = 3, .classes = 2, .blocks = {2, 1}, .channels = {8, 8}, .stem = Stem::deep}),
      "the chapter's d2l_resnet18 with blocks 2,1, channels 8,8, stem deep, stem-channels 8, 2 classes, "
      "3 input channels");
  EXPECT_EQ(
      words("resnet18", {.classes = 2, .blocks = {1, 1}, .channels = {8, 16}, .shortcut = Shortcut::none}),
      "torchvision resnet18 with blocks 1,1, channels 8,16, stem-channels 8, shortcut none, 2 classes");
}

TEST_F(WeightsTest, AModelFileIsImportedWithOtherPreprocessingAndClasses) {
  const nn::Sequential net = test::random_network("resnet18", small(2, 3));
  save_model(file("m"), {state_of(net), nn::trace(net, {1, 3, 32, 32}, Mode::eval), {{}, 3}, {"a", "b"}});
  const ModelFile as_it_is = import_model(file("m"));
  EXPECT_THAT(as_it_is.classes, ElementsAre("a", "b"));
  data::Preprocessing other{{}, 3};
  other.normalization = {{0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}};
  const ModelFile changed = import_model(file("m"), {.classes = {"c", "d"}, .preprocessing = other});
  EXPECT_EQ(changed.preprocessing, other);
  EXPECT_THAT(changed.classes, ElementsAre("c", "d"));
  for (const std::vector<std::string>& names : {std::vector<std::string>{"c"}, {"c", "d", "e"}})
    EXPECT_THAT(error_of([&] { static_cast<void>(import_model(file("m"), {.classes = names})); }),
                HasSubstr("names for the 2 classes"));
  io::Safetensors damaged = io::read_safetensors(file("m"));
  damaged.metadata["resnet.graph"] = "{}";
  io::write_safetensors(file("m"), damaged.tensors, damaged.metadata);
  EXPECT_THAT(error_of([&] { static_cast<void>(import_model(file("m"))); }),
              HasSubstr(file("m").string() + ": "));
  EXPECT_THAT(error_of([&] {
                static_cast<void>(import_model({"m", {{"features.0.weight", Tensor(Shape{64, 3, 11, 11})}}}));
              }),
              HasSubstr("m: its 1 tensors are of no network that is known"));
}

TEST(FamilyPreprocessing, IsThatOfTheFamilysWeights) {
  const auto of = [](const char* model, const char* family, std::optional<std::int64_t> channels) {
    Recognition found;
    found.model = model, found.family = family;
    found.options.in_channels = channels;
    return data::to_json(family_preprocessing(found));
  };
  EXPECT_THAT(of("resnet18", "torchvision", 3),
              AllOf(HasSubstr("[256,0]"), HasSubstr("bilinear"), HasSubstr("[224,224]"), HasSubstr("0.485")));
  EXPECT_THAT(of("resnet50d", "timm", {}), AllOf(HasSubstr("[256,0]"), HasSubstr("bicubic"),
                                                 HasSubstr("\"channels\":3"), HasSubstr("0.485")));
  EXPECT_THAT(of("resnet101d", "timm", 3), AllOf(HasSubstr("[269,0]"), HasSubstr("[256,256]")));
  EXPECT_THAT(of("resnetv2_18", "timm", 3), AllOf(HasSubstr("[248,0]"), HasSubstr("[0.5,0.5,0.5]")));
  EXPECT_THAT(of("resnet18", "torchvision", 1),
              AllOf(HasSubstr("\"channels\":1"), Not(HasSubstr("mean\":[0"))));
  EXPECT_THAT(of("d2l_resnet18", "the chapter's", 1), HasSubstr("96"));
}

}  // namespace
}  // namespace resnet
