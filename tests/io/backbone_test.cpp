// Weights of a network for other classes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "io/folder_test.h"
#include "io/safetensors.h"
#include "resnet/model_file.h"
#include "support/networks.h"

namespace resnet {
namespace {

class Backbone : public FolderTest {};

models::ResNetOptions of_classes(std::int64_t classes) {
  return {.in_channels = 1, .classes = classes, .blocks = {1, 1}, .channels = {4, 8}};
}

bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TEST_F(Backbone, TakesAllButAHeadOfOtherClasses) {
  for (const auto& [model, head] : {std::pair("d2l_resnet18", "5."), {"resnet18", "fc."}}) {
    const nn::Sequential trained = test::random_network(model, of_classes(10));
    io::write_safetensors(file(model), state_of(trained));
    nn::Sequential net = models::make(model, of_classes(3));
    nn::init(net, net.scheme(), 5);
    const State before = state_of(net), theirs = state_of(trained);
    EXPECT_TRUE(load_backbone(net, file(model)));
    const State after = state_of(net);
    ASSERT_EQ(after.size(), theirs.size());
    int heads = 0;
    for (std::size_t i = 0; i < after.size(); ++i) {
      const auto& [name, tensor] = after[i];
      const bool of_head = name.starts_with(head);
      heads += of_head ? 1 : 0;
      EXPECT_TRUE(equal(tensor, of_head ? before[i].second : theirs[i].second)) << model << ' ' << name;
    }
    EXPECT_EQ(heads, 2) << model;
  }
}

TEST_F(Backbone, TakesTheHeadOfAsManyClassesToo) {
  const nn::Sequential trained = test::random_network("resnet18", of_classes(3));
  io::write_safetensors(file("m"), state_of(trained));
  nn::Sequential net = models::make("resnet18", of_classes(3));
  nn::init(net, net.scheme(), 5);
  EXPECT_FALSE(load_backbone(net, file("m")));
  const State after = state_of(net), theirs = state_of(trained);
  for (std::size_t i = 0; i < after.size(); ++i)
    EXPECT_TRUE(equal(after[i].second, theirs[i].second)) << after[i].first;
}

TEST_F(Backbone, RefusesAnotherNetworkAndLeavesThisOne) {
  io::write_safetensors(file("m"), state_of(test::random_network("resnet18", of_classes(3))));
  nn::Sequential wider =
      models::make("resnet18", {.in_channels = 1, .classes = 3, .blocks = {1, 1}, .channels = {8, 8}});
  nn::init(wider, wider.scheme(), 5);
  const State before = state_of(wider);
  try {
    load_backbone(wider, file("m"));
    ADD_FAILURE() << "not refused";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("'conv1.weight' is F32 [4,1,7,7], the network's is F32 [8,1,7,7]"));
  }
  const State after = state_of(wider);
  for (std::size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(equal(after[i].second, before[i].second));
}

TEST_F(Backbone, SaysWhichTensorIsMissingOrTooManyOrOfAnotherKind) {
  const State whole = state_of(test::random_network("resnet18", of_classes(3)));
  const auto refusal = [&](const State& state) -> std::string {
    io::write_safetensors(file("m"), state);
    nn::Sequential net = models::make("resnet18", of_classes(3));
    nn::init(net, net.scheme(), 5);
    try {
      load_backbone(net, file("m"));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  State state = whole;
  std::erase_if(state, [](const auto& value) { return value.first.ends_with("num_batches_tracked"); });
  ASSERT_LT(state.size(), whole.size());
  EXPECT_EQ(refusal(state), "") << "counts may be missing";
  state.erase(state.begin());
  EXPECT_THAT(refusal(state), testing::HasSubstr(": it has no 'conv1.weight'"));
  state = whole;
  state.emplace_back("another", Tensor(Shape{1}));
  EXPECT_THAT(refusal(state), testing::HasSubstr(": the network has no 'another'"));
  state = whole;
  for (auto& [name, tensor] : state) {
    if (name == "fc.bias") tensor = Tensor(tensor.shape(), DType::f64);
  }
  EXPECT_THAT(refusal(state), testing::HasSubstr("'fc.bias' is F64 [3], the network's is F32 [3]"));
}

}  // namespace
}  // namespace resnet
