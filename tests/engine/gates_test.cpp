// Networks of products, joined channels and smooth activations: the native engine's logits and gradients are
// the reference's, in f32 and bf16, with the same bits for any number of threads.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/zoo_case.h"
#include "support/networks.h"

namespace resnet {
namespace {

// A squeeze-and-excitation gate (Hu et al., arXiv 1709.01507), given before or behind the map.
class Squeeze : public nn::Module {
 public:
  Squeeze(int channels, int middle, bool gate_first)
      : fc1_(&add("fc1", nn::Conv2d{channels, middle, {.kernel = 1}})),
        fc2_(&add("fc2", nn::Conv2d{middle, channels, {.kernel = 1}})),
        gate_first_(gate_first) {}
  Value operator()(Value x) const override {
    const Value gate = sigmoid((*fc2_)(relu((*fc1_)(global_avg_pool(x)))));
    return gate_first_ ? gate * x : x * gate;
  }

 private:
  nn::Conv2d *fc1_, *fc2_;
  bool gate_first_;
};

// Branches side by side, as an inception block has them (Szegedy et al., arXiv 1409.4842).
class Inception : public nn::Module {
 public:
  explicit Inception(int in)
      : one_(&add("one", nn::Conv2d{in, 5, {.kernel = 1}})),
        three_(&add("three", nn::Conv2d{in, 9, {.kernel = 3, .padding = 1}})),
        pool_(&add("pool", nn::MaxPool2d{{.kernel = 3, .stride = 1, .padding = 1}})),
        projected_(&add("projected", nn::Conv2d{in, 3, {.kernel = 1}})) {}
  Value operator()(Value x) const override {
    return concat({silu((*one_)(x)), gelu((*three_)(x)), (*projected_)((*pool_)(x)), x * relu(x)});
  }

 private:
  nn::Conv2d *one_, *three_;
  nn::MaxPool2d *pool_;
  nn::Conv2d *projected_;
};

nn::Sequential network() {
  return test::initialised(nn::Sequential(
      nn::Conv2d{2, 20, {.kernel = 3, .stride = 2, .padding = 1}}, nn::BatchNorm2d{20}, nn::SiLU{},
      Squeeze{20, 4, false}, Inception{20}, nn::BatchNorm2d{37}, nn::GELU{}, Squeeze{37, 6, true},
      nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{37, 16}, nn::Sigmoid{}, nn::Linear{16, 10}));
}

const Shape kImages{4, 2, 17, 13};

TEST(Gates, NativeEngineIsTheReferenceOnEveryInstructionSet) {
  test::expect_native_matches_reference(network(), kImages);
}

TEST(Gates, InBf16AreTheReferenceWithinItsRounding) {
  test::expect_native_matches_reference(network(), kImages, Precision::bf16);
}

TEST(Gates, FusionChangesNoGradient) {
  const Network net = network_of(network(), kImages);
  const test::Examples e = test::examples(kImages, 10);
  State gradients[2];
  for (const bool fuse : {false, true}) {
    const auto engine = make_native_engine(net, {.threads = 2, .fuse = fuse});
    engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
    gradients[fuse ? 1 : 0] = engine->gradient_values();
  }
  test::expect_states_near(gradients[1], gradients[0], 1e-5);
}

TEST(Gates, GiveTheSameBitsForOneToFourThreads) {
  const Network net = network_of(network(), kImages);
  State expected;
  for (int threads = 1; threads <= 4; ++threads) {
    const auto engine = make_native_engine(net, {.threads = threads});
    for (std::uint64_t i = 0; i < 3; ++i) {
      const test::Examples e = test::examples(kImages, 10, i);
      engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});
    }
    const State state = engine->state();
    if (threads == 1) expected = state;
    for (std::size_t i = 0; i < state.size(); ++i) {
      const Tensor &a = state[i].second, &b = expected[i].second;
      ASSERT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0)
          << state[i].first << ", " << threads << " threads";
    }
  }
}

TEST(Gates, BothOrdersAndAllShapesOfAProductAreChecked) {
  class Wrong : public nn::Module {
   public:
    explicit Wrong(int which) : which_(which) {}
    Value operator()(Value x) const override {
      if (which_ == 0) return x * nn::Flatten{}(x);
      if (which_ == 1) return concat({x, global_avg_pool(x)});
      return concat({});
    }
    int which_;
  };
  for (const int which : {0, 1}) EXPECT_THROW(nn::trace(Wrong{which}, kImages, Mode::eval), ShapeError);
  EXPECT_THROW(nn::trace(Wrong{2}, kImages, Mode::eval), ConfigError);
}

}  // namespace
}  // namespace resnet
