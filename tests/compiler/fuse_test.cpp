// Which neighbours are merged, and that a merged graph computes the same.
#include <gtest/gtest.h>

#include <map>

#include "compiler/passes.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "resnet/engine.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::expect_same_gradients;
using test::initialised;

// Names of the operations of a step, with their number.
std::map<std::string, int> operations(const nn::Module& net, const Shape& images) {
  const graph::Graph step =
      compiler::fuse(compiler::training_step(nn::trace(net, images, Mode::train), compiler::StepKind::update),
                     cpu::Target(Isa::avx2));
  std::map<std::string, int> count;
  for (const graph::Node& node : step.nodes()) ++count[std::string(node.op->name())];
  return count;
}

const Shape kImages{3, 2, 13, 17};
nn::MaxPool2d pool() {
  return nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}};
}

TEST(Fuse, AStemsPoolAndItsGradientAreCarriedByItsNorm) {
  const auto net = initialised(nn::Sequential(nn::Conv2d{2, 6, {.kernel = 3}}, nn::BatchNorm2d{6}, nn::ReLU{},
                                              pool(), nn::Flatten{}, nn::Linear{6 * 6 * 8, 5}));
  auto count = operations(net, kImages);
  for (const char* gone : {"relu", "relu_gradient", "max_pool", "max_pool_gradient"})
    EXPECT_EQ(count[gone], 0) << gone;
  expect_same_gradients(net, kImages);
}

TEST(Fuse, APoolWithoutReluAndOneBeforeItAreCarriedToo) {
  const auto bare = initialised(nn::Sequential(nn::Conv2d{2, 6, {.kernel = 3}}, nn::BatchNorm2d{6}, pool(),
                                               nn::Flatten{}, nn::Linear{6 * 6 * 8, 5}));
  auto count = operations(bare, kImages);
  EXPECT_EQ(count["max_pool"] + count["max_pool_gradient"], 0);
  expect_same_gradients(bare, kImages);
  const auto before = initialised(nn::Sequential(nn::Conv2d{2, 6, {.kernel = 3}}, nn::BatchNorm2d{6}, pool(),
                                                 nn::ReLU{}, nn::Flatten{}, nn::Linear{6 * 6 * 8, 5}));
  count = operations(before, kImages);
  EXPECT_EQ(count["max_pool"] + count["max_pool_gradient"] + count["relu_gradient"], 0);
  EXPECT_EQ(count["relu"], 1) << "the norm's own would come before the pool";
  expect_same_gradients(before, kImages);
}

// relu(norm(x)) feeds a pool and, past it, the sum: its value must be kept, its gradient has two parts.
class PoolAndBypass : public nn::Module {
 public:
  PoolAndBypass()
      : norm_(&add("norm", nn::BatchNorm2d{4})),
        pool_(&add("pool", nn::MaxPool2d{{.kernel = 3, .stride = 1, .padding = 1}})) {}
  Value operator()(Value x) const override {
    const Value z = relu((*norm_)(x));
    return (*pool_)(z) + z;
  }

 private:
  nn::BatchNorm2d* norm_;
  nn::MaxPool2d* pool_;
};

TEST(Fuse, APoolWhoseInputOthersReadStaysByItself) {
  const auto net = initialised(nn::Sequential(nn::Conv2d{2, 4, {.kernel = 3}}, PoolAndBypass{},
                                              nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 5}));
  auto count = operations(net, kImages);
  EXPECT_EQ(count["max_pool"], 1);
  EXPECT_EQ(count["max_pool_gradient"], 1);
  expect_same_gradients(net, kImages);
}

// pool(relu(norm(conv(x)) + x)), the pool as large as its input.
class PooledResidual : public nn::Module {
 public:
  PooledResidual()
      : conv_(&add("conv", nn::Conv2d{4, 4, {.kernel = 3, .padding = 1}})),
        norm_(&add("norm", nn::BatchNorm2d{4})),
        pool_(&add("pool", nn::MaxPool2d{{.kernel = 3, .stride = 1, .padding = 1}})) {}
  Value operator()(Value x) const override { return (*pool_)(relu((*norm_)((*conv_)(x)) + x)); }

 private:
  nn::Conv2d* conv_;
  nn::BatchNorm2d* norm_;
  nn::MaxPool2d* pool_;
};

TEST(Fuse, APoolAsLargeAsItsInputIsCarriedButNotBehindAnAddition) {
  const Shape images{8, 2, 40, 60};  // several tasks of each kernel
  const auto net = initialised(nn::Sequential(nn::Conv2d{2, 4, {.kernel = 3}}, PooledResidual{}, nn::ReLU{},
                                              nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 5}));
  EXPECT_EQ(operations(net, images)["max_pool"], 1) << "which z is largest is not known from x";
  expect_same_gradients(net, images);
  const auto straight =
      initialised(nn::Sequential(nn::Conv2d{2, 4, {.kernel = 3}}, nn::BatchNorm2d{4}, nn::ReLU{},
                                 nn::MaxPool2d{{.kernel = 3, .stride = 1, .padding = 1}},
                                 nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Linear{4, 5}));
  EXPECT_EQ(operations(straight, images)["max_pool_gradient"], 0);
  expect_same_gradients(straight, images);
  const Network network = network_of(net, images);
  const Tensor x = random_uniform(images, 8);
  const Tensor fused = make_native_engine(network, {.threads = 1})->infer(x.view<float>());
  const Tensor plain = make_native_engine(network, {.threads = 1, .fuse = false})->infer(x.view<float>());
  for (std::size_t i = 0; i < plain.values().size(); ++i)
    EXPECT_NEAR(fused.values()[i], plain.values()[i], 1e-5) << i;
}

TEST(Fuse, APoolOfLongRowsOrOfWindowsThatOverlapMuchStaysByItself) {
  const auto pools = [](std::int64_t channels, const Shape& images, nn::PoolOptions options) {
    const nn::Sequential net(nn::Conv2d{images[1], channels, {.kernel = 1}}, nn::BatchNorm2d{channels},
                             nn::ReLU{}, nn::MaxPool2d{options}, nn::GlobalAvgPool2d{}, nn::Flatten{},
                             nn::Linear{channels, 5});
    auto count = operations(net, images);
    EXPECT_EQ(count["max_pool"], count["max_pool_gradient"]);
    return count["max_pool"];
  };
  EXPECT_EQ(pools(64, {2, 1, 112, 112}, {.kernel = 3, .stride = 2, .padding = 1}), 0);
  EXPECT_EQ(pools(64, {2, 1, 2, 4000}, {.kernel = {1, 3}, .stride = {1, 2}, .padding = {0, 1}}), 1);
  EXPECT_EQ(pools(64, {2, 1, 14, 14}, {.kernel = 5, .stride = 1, .padding = 2}), 0);
  EXPECT_EQ(pools(512, {2, 1, 14, 14}, {.kernel = 9, .stride = 1, .padding = 4}), 1);
}

TEST(Fuse, AMergedNormHasNoReadableEvaluationInsteadOfAWrongOne) {
  const auto net =
      initialised(nn::Sequential(nn::Conv2d{2, 6, {.kernel = 3}}, nn::BatchNorm2d{6}, nn::ReLU{}));
  const State state = state_of(net);
  const Tensor x = random_uniform(kImages, 8);
  const graph::Graph plain = nn::trace(net, kImages, Mode::eval);
  EXPECT_NO_THROW(make_reference_engine({plain, std::nullopt, state})->infer(x.view<float>()));
  EXPECT_THROW(make_reference_engine({compiler::fuse(plain, cpu::Target(Isa::avx2)), std::nullopt, state})
                   ->infer(x.view<float>()),
               FormatError);
}

}  // namespace
}  // namespace resnet
