// The gradients of blocks and of whole small networks against finite differences, all in double.
#include "ops/cross_entropy.h"
#include "resnet/models.h"
#include "resnet/nn.h"
#include "support/gradient_check.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::ValueId;

// Random values for every value of the state; positive ones for variances and norms' weights.
engine::NamedValues random_state(const nn::Module& module) {
  engine::NamedValues state;
  nn::for_each_parameter(module, [&](const std::string& name, const nn::Parameter& parameter) {
    using Kind = nn::ParameterKind;
    const bool positive = parameter.kind == Kind::norm_weight || parameter.kind == Kind::running_var;
    const double scale = parameter.kind == Kind::weight && parameter.fan_in > 0
                             ? std::sqrt(3.0 / static_cast<double>(parameter.fan_in))
                             : 0.5;
    state[name] = test::random_values(name, parameter.shape.elements(), positive ? 1 : 0, scale);
  });
  return state;
}

// By every parameter and, where the module is no whole network, by its input. The module ends in a
// random weighted sum, a network of [N, classes] in the chapter's loss.
void check(const nn::Module& module, const Shape& images, bool network) {
  Graph graph = nn::trace(module, images, Mode::train);
  engine::NamedValues inputs = {{"images", test::random_values("images", images.elements())}};
  engine::NamedValues state = random_state(module);
  const ValueId y = graph.output("output");
  ValueId loss = graph::kNone;
  if (network) {
    const ValueId labels = graph.add_input("labels", {Shape{images[0]}, DType::i32});
    inputs["labels"] = {};
    for (std::int64_t i = 0; i < images[0]; ++i) inputs["labels"].push_back(static_cast<double>(i % 3));
    loss = graph.add_node(ops::make<ops::CrossEntropy>(), "loss", {y, labels})[0];
  } else {
    loss = test::weighted_sum(graph, y);
    inputs["r"] = test::random_values("r", graph.value(y).type.shape.elements());
  }
  test::expect_gradients_match_away_from_kinks(graph, loss, inputs, state,
                                               network ? static_cast<double>(images[0]) : 1.0);
}

// A module behind a convolution, whose weights' gradients need that of the module's input.
template <class M>
nn::Sequential behind_a_convolution(std::int64_t channels, M module) {
  return nn::Sequential(nn::Conv2d{2, channels, {.kernel = {1, 2}}}, std::move(module));
}

TEST(BlockGradient, ResidualMatchesFiniteDifferences) {
  check(behind_a_convolution(3, nn::Residual{3, 3}), {2, 2, 5, 8}, false);
}

TEST(BlockGradient, ResidualWithAShortcutAndAStrideMatchesFiniteDifferences) {
  check(behind_a_convolution(3, nn::Residual{3, 5, {.use_1x1conv = true, .stride = 2}}), {2, 2, 5, 8}, false);
}

TEST(BlockGradient, ResidualBottleneckMatchesFiniteDifferences) {
  check(behind_a_convolution(3, nn::ResidualBottleneck{3, 2, {.use_1x1conv = true, .stride = 2}}),
        {2, 2, 7, 6}, false);
  check(behind_a_convolution(8, nn::ResidualBottleneck{8, 2}), {2, 2, 3, 4}, false);
}

TEST(BlockGradient, TheFamilysBlocksMatchFiniteDifferences) {
  const nn::BlockOptions pooled = {.stride = 2, .shortcut = nn::Shortcut::avgpool, .se_reduction = 2};
  check(behind_a_convolution(3, nn::BasicBlock{3, 5, pooled}), {3, 2, 5, 7}, false);
  check(behind_a_convolution(3, nn::Bottleneck{3, 4, {.stride = 2, .groups = 2, .width_per_group = 32}}),
        {2, 2, 6, 5}, false);
  check(behind_a_convolution(3, nn::PreActBasic{3, 5, pooled}), {3, 2, 5, 7}, false);
  check(behind_a_convolution(4, nn::PreActBasic{4, 4}), {2, 2, 3, 6}, false);
  check(behind_a_convolution(3, nn::PreActBottleneck{3, 2, {.stride = 2}}), {2, 2, 7, 6}, false);
  check(behind_a_convolution(3, nn::Residual{3, 4, {.use_1x1conv = true, .stride = 2, .plain = true}}),
        {2, 2, 7, 6}, false);
}

TEST(BlockGradient, BasicBlockMatchesFiniteDifferences) {
  check(behind_a_convolution(3, nn::BasicBlock{3, 5, {.stride = 2}}), {3, 2, 5, 8}, false);
  check(behind_a_convolution(4, nn::BasicBlock{4, 4}), {2, 2, 3, 6}, false);
}

TEST(BlockGradient, BottleneckMatchesFiniteDifferences) {
  check(behind_a_convolution(3, nn::Bottleneck{3, 2, {.stride = 2}}), {2, 2, 7, 6}, false);
  check(behind_a_convolution(8, nn::Bottleneck{8, 2}), {2, 2, 3, 4}, false);
}

// Layers that the zoo has not: rectangles, groups, dilation, average pool.
TEST(NetworkGradient, OfUncommonLayersMatchesFiniteDifferences) {
  const nn::Sequential net(
      nn::Conv2d{2, 4, {.kernel = {3, 5}, .stride = {2, 1}, .padding = {0, 2}}}, nn::BatchNorm2d{4},
      nn::ReLU{}, nn::MaxPool2d{{.kernel = {3, 2}, .stride = {1, 2}}},
      nn::Conv2d{4, 6, {.kernel = 3, .padding = 2, .dilation = 2, .groups = 2}},
      nn::AvgPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, nn::Flatten{}, nn::Linear{24, 3});
  check(net, {3, 2, 11, 9}, true);
}

TEST(NetworkGradient, OfTheChaptersNetworkMatchesFiniteDifferences) {
  const models::ResNetOptions options = {
      .in_channels = 1, .classes = 3, .blocks = {1, 2, 1}, .channels = {3, 4, 5}};
  check(models::make("d2l_resnet18", options), {3, 1, 25, 21}, true);
}

TEST(NetworkGradient, OfTorchvisionsNetworksMatchesFiniteDifferences) {
  const models::ResNetOptions options = {
      .in_channels = 2, .classes = 3, .blocks = {1, 1}, .channels = {2, 3}};
  check(models::make("resnet18", options), {3, 2, 19, 23}, true);
  check(models::make("resnet50", options), {2, 2, 17, 13}, true);
}

}  // namespace
}  // namespace resnet
