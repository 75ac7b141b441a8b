// Weights in memory for networks that they nearly fit, and what files of other networks are called.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "io/folder_test.h"
#include "io/safetensors.h"
#include "resnet/weights.h"
#include "support/networks.h"
#include "support/pth_file.h"

namespace resnet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

models::ResNetOptions small(std::int64_t classes = 3) {
  return {.in_channels = 3, .classes = classes, .blocks = {1, 1}, .channels = {4, 8}};
}

Tensor& in(State& state, const std::string& name) {
  return std::ranges::find(state, name, &State::value_type::first)->second;
}

class NearlyFitting : public FolderTest {
 protected:
  // What a network of 3 classes refuses the weights with.
  std::string refusal(const State& state, const LoadOptions& options = {}) {
    nn::Sequential net = models::make("resnet18", small());
    try {
      load_weights(net, {"m", state}, options);
    } catch (const Error& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    return "nothing was refused";
  }
  State state_ = state_of(test::random_network("resnet18", small()));
};

TEST_F(NearlyFitting, AHeadIsReplacedWithAllThatBelongsToItAndNothingElse) {
  const LoadOptions replace{.replace_head = true};
  State state = state_;
  state.emplace_back("fc.scale", Tensor(Shape{3}));
  EXPECT_EQ(refusal(state, replace), "nothing was refused") << "it belongs to a head";
  EXPECT_THAT(refusal(state), HasSubstr("'fc.scale' F32 [3] is not in the network"));
  state.back().first = "fc2.scale";
  EXPECT_THAT(refusal(state, replace), HasSubstr("'fc2.scale' F32 [3] is not in the network"));
  state = state_;
  in(state, "fc.weight") = Tensor(Shape{3, 8}, DType::f64);
  EXPECT_THAT(refusal(state, replace), HasSubstr("'fc.weight' is F64 [3,8], the network has F32 [3,8]"));
  in(state, "fc.weight") = Tensor(Shape{3, 9});
  EXPECT_THAT(refusal(state, replace), HasSubstr("'fc.weight' is F32 [3,9], the network has F32 [3,8]"))
      << "another number of features";
  in(state, "fc.weight") = Tensor(Shape{3, 8});
  in(state, "fc.bias") = Tensor(Shape{});
  EXPECT_THAT(refusal(state, replace), HasSubstr("'fc.bias' is F32 [], the network has F32 [3]"));
  state = state_;
  std::erase_if(state, [](const auto& value) { return value.first == "bn1.weight"; });
  EXPECT_THAT(refusal(state, replace), HasSubstr("'bn1.weight' F32 [4] is missing"));
}

TEST_F(NearlyFitting, TheFirstDifferencesAreListedAndTheOthersCounted) {
  const State other =
      state_of(test::random_network("resnet18", {.classes = 3, .blocks = {1, 1}, .channels = {6, 8}}));
  EXPECT_THAT(refusal(other), AllOf(HasSubstr("tensor 'conv1.weight' is "),
                                    HasSubstr("; tensor 'bn1.weight' is "), HasSubstr(" more | ")));
}

TEST_F(NearlyFitting, TheFirstConvolutionIsAdaptedWhereItIsOne) {
  const LoadOptions adapt{.adapt_input = true};
  for (const auto& [shape, dtype] : {std::pair(Shape{4, 1, 7, 7}, DType::f64),
                                     {Shape{4, 1, 49}, DType::f32},
                                     {Shape{5, 1, 7, 7}, DType::f32}}) {
    State state = state_;
    in(state, "conv1.weight") = Tensor(shape, dtype);
    EXPECT_THAT(refusal(state, adapt), HasSubstr("tensor 'conv1.weight' is ")) << shape;
  }
  State state = state_;
  std::erase_if(state, [](const auto& value) { return value.first == "conv1.weight"; });
  EXPECT_THAT(refusal(state), AllOf(HasSubstr("'conv1.weight' F32 [4,3,7,7] is missing"),
                                    HasSubstr("is it a file of this network?")));
  EXPECT_THAT(refusal({}), HasSubstr("is it a file of this network?")) << "which holds nothing";
}

TEST_F(NearlyFitting, ACountOfAnotherKindSaysNothing) {
  State state = state_;
  in(state, "bn1.num_batches_tracked") = Tensor(Shape{2});
  EXPECT_EQ(refusal(state), "nothing was refused");
  const Recognition found = recognise({"m", state});
  EXPECT_THAT(found.differences, IsEmpty());
  state.emplace_back("more.num_batches_tracked", Tensor(Shape{}, DType::i64));
  std::erase_if(state, [](const auto& value) { return value.first == "bn1.num_batches_tracked"; });
  EXPECT_THAT(recognise({"m", state}).differences, IsEmpty()) << "one too many, and one too few";
  in(state, "bn1.bias") = Tensor(Shape{5});
  const std::vector<TensorDifference> differences = recognise({"m", state}).differences;
  ASSERT_EQ(differences.size(), 1U);
  EXPECT_EQ(to_string(differences[0]), "tensor 'bn1.bias' is F32 [5], the network has F32 [4]");
}

TEST(Recognised, IsADeepStemOfAPreactivationNetworkThatPools) {
  const models::ResNetOptions options = {.classes = 2,
                                         .blocks = {1, 1},
                                         .channels = {8, 16},
                                         .stem = models::Stem::deep,
                                         .shortcut = nn::Shortcut::avgpool};
  const nn::Sequential net = test::random_network("resnetv2_50", options);
  const Recognition found = recognise({"m", state_of(net)});
  EXPECT_THAT(found.differences, IsEmpty());
  EXPECT_EQ(found.options.stem, models::Stem::deep);
  EXPECT_EQ(found.options.shortcut, nn::Shortcut::avgpool);
  EXPECT_THAT(to_string(found), HasSubstr("shortcut avgpool"));
}

// Names of a bottleneck network, with nothing or zeros behind them.
TEST(Recognised, IsNoNetworkOfShapesThatNoneHas) {
  const auto weights = [](const Shape& second, const Shape& third) {
    return Weights{"m",
                   {{"conv1.weight", Tensor(Shape{4, 3, 7, 7})},
                    {"layer1.0.conv1.weight", Tensor(Shape{4, 4, 1, 1})},
                    {"layer1.0.conv2.weight", Tensor(second)},
                    {"layer1.0.conv3.weight", Tensor(third)}}};
  };
  for (const auto& [second, third] : {std::pair(Shape{0, 4, 3, 3}, Shape{16, 4, 1, 1}),
                                      {Shape{4, 0, 3, 3}, Shape{16, 4, 1, 1}},
                                      {Shape{4, 4, 3, 3}, Shape{2, 4, 1, 1}}})
    EXPECT_FALSE(recognise(weights(second, third)).differences.empty()) << second << third;
}

TEST(Recognised, IsTheNearestByItsTensorsWhereNoNameSaysMore) {
  const Recognition found =
      recognise({"m", {{"conv1.weight", Tensor(Shape{64, 3, 7, 7})}, {"bn1.bias", Tensor(Shape{65})}}});
  EXPECT_EQ(found.model, "resnet18");
  EXPECT_GT(found.differences.size(), 50U) << "all others are missing";
  Recognition plain;
  plain.model = "resnet18", plain.family = "torchvision";
  EXPECT_EQ(to_string(plain), "torchvision resnet18");
  plain.options.in_channels = 3;
  plain.options.classes = 7;
  EXPECT_EQ(to_string(plain), "torchvision resnet18, 7 classes");
}

class FilesOfWeights : public FolderTest {};

TEST_F(FilesOfWeights, TellWhatWasWidenedOrRounded) {
  const std::string header = R"({"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})";
  write(file("part-0"), test::little_endian(header.size(), 8) + header + std::string("\x00\x3c\x00\x40", 4));
  write(file("index.json"), R"({"weight_map":{"x":"part-0"}})");
  const Weights weights = read_weights(file("index.json"));
  EXPECT_THAT(weights.notes,
              ElementsAre("1 tensors in 1 files, by their index", "1 tensors of F16 became f32, exactly"));
  EXPECT_THAT(weights.tensors[0].second.values(), ElementsAre(1, 2));
  Tensor doubles(Shape{3}, DType::f64);
  const auto values = doubles.view<double>().span();
  values[0] = NAN, values[1] = INFINITY, values[2] = 0.5;
  io::write_safetensors(file("m"), {{"x", doubles}});
  EXPECT_THAT(read_weights(file("m")).notes, ElementsAre("1 tensors of f64 became f32, exactly"));
  values[0] = 0.1, values[1] = 0.2;
  io::write_safetensors(file("m"), {{"x", doubles}});
  EXPECT_THAT(read_weights(file("m")).notes,
              ElementsAre("1 tensors of f64 became f32, 1 of them with rounding"));
}

TEST_F(FilesOfWeights, AreNamedInWhatIsWrongWithThem) {
  write(file("m.pth"), test::zip_of({{"none", "x"}}));
  write(file("index.json"), R"({"metadata":{}})");
  for (const char* name : {"m.pth", "index.json"}) {
    try {
      static_cast<void>(read_weights(file(name)));
      ADD_FAILURE() << name;
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(file(name).string() + ": it ")) << name;
    }
  }
  EXPECT_THROW(io::write_safetensors(file("m"), {{std::string(1025, 'n'), Tensor(Shape{1})}}), FormatError)
      << "no name that would not be read";
}

}  // namespace
}  // namespace resnet
