// Initialisation: distributions, and numbers that depend on (seed, name) alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "resnet/models.h"
#include "resnet/nn.h"

namespace resnet {
namespace {

using Values = std::map<std::string, std::vector<float>>;

Values values_of(const nn::Module& module) {
  Values values;
  nn::for_each_parameter(module, [&](const std::string& name, const nn::Parameter& parameter) {
    ASSERT_TRUE(parameter.set) << name;
    if (parameter.value.dtype() != DType::f32) return;
    const auto span = parameter.value.values();
    values[name].assign(span.begin(), span.end());
  });
  return values;
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments_of(const std::vector<float>& values) {
  Moments moments;
  const auto n = static_cast<double>(values.size());
  for (const float v : values) {
    moments.mean += static_cast<double>(v) / n;
    moments.largest = std::max(moments.largest, std::abs(static_cast<double>(v)));
  }
  for (const float v : values) moments.deviation += std::pow(static_cast<double>(v) - moments.mean, 2) / n;
  moments.deviation = std::sqrt(moments.deviation);
  return moments;
}

// Sample moments of n values of deviation s lie within five standard errors: the mean's is s / sqrt(n);
// the deviation's is at most s / sqrt(2 n), a normal's (a uniform's is smaller).
void expect_distribution(const std::vector<float>& values, double deviation, double bound) {
  const Moments moments = moments_of(values);
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(moments.mean, 0, 5 * deviation / std::sqrt(n));
  EXPECT_NEAR(moments.deviation, deviation, 5 * deviation / std::sqrt(2 * n));
  EXPECT_LE(moments.largest, bound * (1 + 1e-6));
}

void expect_uniform(const std::vector<float>& values, double bound) {
  expect_distribution(values, bound / std::sqrt(3.0), bound);
  EXPECT_GT(moments_of(values).largest, bound * (1 - 20.0 / static_cast<double>(values.size())));
}

TEST(Init, ChapterIsXavierUniformWithPyTorchsBiases) {
  nn::Sequential net = models::d2l_resnet18({.in_channels = 1, .classes = 10});
  nn::init(net, nn::Scheme::chapter, 4);
  const Values values = values_of(net);
  expect_uniform(values.at("0.0.weight"), std::sqrt(6.0 / (49 + 64 * 49)));
  expect_uniform(values.at("3.0.conv1.weight"), std::sqrt(6.0 / (128 * 9 + 256 * 9)));
  expect_uniform(values.at("3.0.conv3.weight"), std::sqrt(6.0 / (128 + 256)));
  expect_uniform(values.at("7.weight"), std::sqrt(6.0 / (512 + 10)));
  expect_uniform(values.at("4.1.conv2.bias"), 1 / std::sqrt(512.0 * 9));
}

TEST(Init, TorchvisionIsKaimingNormalByFanOut) {
  nn::Sequential net = models::resnet18({});
  nn::init(net, nn::Scheme::torchvision, 4);
  const Values values = values_of(net);
  const double deviation = std::sqrt(2.0 / (256 * 9));
  expect_distribution(values.at("layer3.0.conv1.weight"), deviation, 7 * deviation);
  EXPECT_GT(moments_of(values.at("layer3.0.conv1.weight")).largest, 3.5 * deviation) << "not a normal's tail";
  expect_uniform(values.at("fc.weight"), 1 / std::sqrt(512.0));
  expect_uniform(values.at("fc.bias"), 1 / std::sqrt(512.0));
}

// timm's: N(0, 0.01) and zeros, and the scheme's for all else.
TEST(Init, APreactivationNetworksHeadHasItsOwn) {
  nn::Sequential net = models::make("resnetv2_18", {.classes = 200});
  nn::init(net, net.scheme(), 4);
  const Values values = values_of(net);
  expect_distribution(values.at("head.fc.weight"), 0.01, 0.07);
  EXPECT_EQ(values.at("head.fc.bias"), std::vector<float>(200, 0.0F));
  const double deviation = std::sqrt(2.0 / (64 * 9));
  expect_distribution(values.at("stages.0.blocks.0.conv1.weight"), deviation, 7 * deviation);
}

TEST(Init, NormsBeginAsTheIdentity) {
  nn::BatchNorm2d norm(5);
  nn::init(norm, nn::Scheme::chapter, 9);
  const Values values = values_of(norm);
  EXPECT_EQ(values.at("weight"), std::vector<float>(5, 1.0F));
  EXPECT_EQ(values.at("bias"), std::vector<float>(5, 0.0F));
  EXPECT_EQ(values.at("running_mean"), std::vector<float>(5, 0.0F));
  EXPECT_EQ(values.at("running_var"), std::vector<float>(5, 1.0F));
  nn::for_each_parameter(norm, [](const std::string& name, const nn::Parameter& parameter) {
    if (name != "num_batches_tracked") return;
    EXPECT_EQ(parameter.value.dtype(), DType::i64);
    EXPECT_EQ(parameter.value.shape().rank(), 0);
    EXPECT_EQ(parameter.value.view<std::int64_t>()[0], 0);
  });
}

TEST(Init, NumbersDependOnSeedAndNameAlone) {
  // The same layer under the same name, once after another layer and once by itself.
  nn::Sequential alone;
  alone.push_back("head", nn::Linear{16, 8});
  nn::Sequential after;
  after.push_back("body", nn::Linear{16, 16});
  after.push_back("head", nn::Linear{16, 8});
  nn::init(alone, nn::Scheme::chapter, 7);
  nn::init(after, nn::Scheme::chapter, 7);
  EXPECT_EQ(values_of(alone).at("head.weight"), values_of(after).at("head.weight"));

  const Values first = values_of(after);
  nn::init(after, nn::Scheme::chapter, 7);
  EXPECT_EQ(values_of(after), first);
  nn::init(after, nn::Scheme::chapter, 8);
  EXPECT_NE(values_of(after).at("head.weight"), first.at("head.weight"));
}

TEST(Init, EqualLayersUnderOtherNamesDiffer) {
  nn::Sequential net(nn::Linear{16, 16}, nn::Linear{16, 16});
  nn::init(net, nn::Scheme::chapter, 7);
  EXPECT_NE(values_of(net).at("0.weight"), values_of(net).at("1.weight"));
}

TEST(Init, WritesOverValuesThatAreThere) {
  nn::Sequential net(nn::Conv2d{3, 8, {.kernel = 3}}, nn::BatchNorm2d{8});
  nn::init(net, nn::Scheme::torchvision, 1);
  const Values once = values_of(net);
  std::vector<const std::byte*> places;
  nn::for_each_parameter(
      net, [&](const std::string&, const nn::Parameter& p) { places.push_back(p.value.raw()); });
  nn::init(net, nn::Scheme::torchvision, 2);
  std::size_t at = 0;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& p) {
    EXPECT_EQ(p.value.raw(), places[at++]) << name << ": no memory is taken, so that none can be missing";
  });
  EXPECT_NE(values_of(net), once);
  nn::init(net, nn::Scheme::torchvision, 1);
  EXPECT_EQ(values_of(net), once);
}

TEST(Init, UnsetAloneLeavesWhatIsThere) {
  nn::Sequential net(nn::Linear{4, 4}, nn::Linear{4, 4});
  std::vector<nn::Parameter>& first = net[0].parameters();
  first[0].value = Tensor(first[0].shape);
  first[0].set = true;
  nn::init_unset(net, nn::Scheme::chapter, 1);
  EXPECT_EQ(values_of(net).at("0.weight"), std::vector<float>(16, 0.0F));
  const Values values = values_of(net);
  nn::init_unset(net, nn::Scheme::torchvision, 2);
  EXPECT_EQ(values_of(net), values);
  nn::init(net, nn::Scheme::chapter, 1);
  EXPECT_NE(values_of(net).at("0.weight"), std::vector<float>(16, 0.0F)) << "init() sets everything anew";
}

}  // namespace
}  // namespace resnet
