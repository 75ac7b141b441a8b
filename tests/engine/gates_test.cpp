// Networks of products, joined channels and smooth activations: the native engine's logits and gradients are
// the reference's, in f32 and bf16, with the same bits for any number of threads; and a model file keeps
// them.
#include <gtest/gtest.h>

#include <cstring>

#include "base/machine.h"
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
  nn::MaxPool2d* pool_;
  nn::Conv2d* projected_;
};

nn::Sequential network() {
  return test::initialised(nn::Sequential(
      nn::Conv2d{2, 20, {.kernel = 3, .stride = 2, .padding = 1}}, nn::BatchNorm2d{20}, nn::SiLU{},
      Squeeze{20, 4, false}, Inception{20}, nn::BatchNorm2d{37}, nn::GELU{}, Squeeze{37, 6, true},
      nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{37, 16}, nn::Sigmoid{}, nn::Linear{16, 5}));
}

const Shape kImages{4, 2, 17, 13};

struct Answers {
  State gradients;
  Tensor logits;
};
Answers answers(Engine& engine, const test::Examples& e) {
  Answers result;
  result.logits = engine.infer(e.images.view<float>());
  engine.gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  result.gradients = engine.gradient_values();
  return result;
}

TEST(Gates, NativeEngineIsTheReferenceOnEveryInstructionSet) {
  const Network net = network_of(network(), kImages);
  const test::Examples e = test::examples(kImages, 5);
  const Answers expected = answers(*make_reference_engine(net), e);
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    if (isa > best_isa()) continue;
    for (const bool fuse : {false, true}) {
      SCOPED_TRACE(std::string(name_of(isa)) + (fuse ? " fused" : " by itself"));
      const auto engine =
          make_native_engine(net, {.threads = 2, .isa = std::string(name_of(isa)), .fuse = fuse});
      const Answers ours = answers(*engine, e);
      EXPECT_LE(test::distance(ours.logits, expected.logits), 1e-5 * test::norm(expected.logits));
      test::expect_states_near(ours.gradients, expected.gradients, 1e-4);
    }
  }
}

// Operands of eight bits, 2^-9 off, through some thirty operations.
TEST(Gates, InBf16AreTheReferenceWithinItsRounding) {
  if (best_isa() < Isa::avx512_bf16) GTEST_SKIP() << "this processor has no avx512_bf16";
  const Network net = network_of(network(), kImages);
  const test::Examples e = test::examples(kImages, 5);
  const Answers expected = answers(*make_reference_engine(net), e);
  const auto engine = make_native_engine(net, {.threads = 2, .precision = Precision::bf16});
  const Answers ours = answers(*engine, e);
  EXPECT_LE(test::distance(ours.logits, expected.logits), 0.02 * test::norm(expected.logits));
  test::expect_states_near(ours.gradients, expected.gradients, 0.1);
}

TEST(Gates, GiveTheSameBitsForOneToFourThreads) {
  const Network net = network_of(network(), kImages);
  State expected;
  for (int threads = 1; threads <= 4; ++threads) {
    const auto engine = make_native_engine(net, {.threads = threads});
    for (std::uint64_t i = 0; i < 3; ++i) {
      const test::Examples e = test::examples(kImages, 5, i);
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
