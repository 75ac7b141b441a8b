// Dirac, zero gamma and whitening.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "resnet/error.h"
#include "resnet/init.h"
#include "resnet/models.h"

namespace resnet::nn {
namespace {

Parameter& parameter(Module& net, const std::string& wanted) {
  Parameter* found = nullptr;
  for_each_parameter(net, [&](const std::string& name, Parameter& p) {
    if (name == wanted) found = &p;
  });
  EXPECT_NE(found, nullptr) << wanted;
  return *found;
}

TEST(Dirac, GivesTheChannelsOfTheInput) {
  Sequential net(Conv2d{3, 5, {.kernel = 3, .padding = 1, .bias = false}});
  init(net, Scheme::torchvision, 1);
  const Tensor before = parameter(net, "0.weight").value;
  init_dirac(net);
  const auto after = parameter(net, "0.weight").value.values();
  for (std::size_t i = 0; i < after.size(); ++i) {
    const std::size_t filter = i / 27, channel = i / 9 % 3, pixel = i % 9;
    if (filter >= 3) {
      EXPECT_EQ(after[i], before.values()[i]) << i;
    } else {
      EXPECT_EQ(after[i], filter == channel && pixel == 4 ? 1 : 0) << i;
    }
  }
}

// torch.nn.init.dirac_(weight, groups=4): the convolution passes every channel on.
TEST(Dirac, GivesEachGroupItsOwnChannels) {
  Sequential net(Conv2d{8, 8, {.kernel = 3, .padding = 1, .groups = 4, .bias = false}});
  init(net, Scheme::torchvision, 1);
  init_dirac(net);
  const auto after = parameter(net, "0.weight").value.values();
  for (std::size_t i = 0; i < after.size(); ++i) {
    const std::size_t filter = i / 18, channel = i / 9 % 2, pixel = i % 9;
    EXPECT_EQ(after[i], filter % 2 == channel && pixel == 4 ? 1 : 0) << i;
  }
}

// A class is not the average of a channel, and a gate is not a channel.
TEST(Dirac, LeavesClassifiersAndGatesAlone) {
  for (const auto& [model, names] : std::vector<std::pair<const char*, std::vector<std::string>>>{
           {"resnetv2_18", {"head.fc.weight"}},
           {"seresnet18", {"layer1.0.se.fc1.weight", "layer1.0.se.fc2.weight", "fc.weight"}}}) {
    Sequential net = models::make(model, {.in_channels = 1, .classes = 3, .blocks = {1}, .channels = {16}});
    init(net, net.scheme(), 1);
    std::vector<Tensor> before;
    for (const std::string& name : names) before.push_back(parameter(net, name).value);
    init_dirac(net);
    for (std::size_t i = 0; i < names.size(); ++i)
      EXPECT_TRUE(std::ranges::equal(parameter(net, names[i]).value.values(), before[i].values()))
          << names[i];
  }
}

TEST(ZeroGamma, MakesEveryBlockItsShortcut) {
  for (const char* model : {"d2l_resnet18", "d2l_resnet50", "resnet18", "resnet50"}) {
    Sequential net =
        models::make(model, {.in_channels = 1, .classes = 2, .blocks = {2, 1}, .channels = {4, 8}});
    init(net, net.scheme(), 1);
    init_zero_gamma(net);
    const std::string last = std::string(model).ends_with("50") ? "bn3.weight" : "bn2.weight";
    int zeros = 0;
    for_each_parameter(net, [&](const std::string& name, const Parameter& p) {
      if (p.kind != ParameterKind::norm_weight) return;
      EXPECT_EQ(p.value.values()[0], name.ends_with(last) ? 0 : 1) << model << ' ' << name;
      zeros += p.value.values()[0] == 0 ? 1 : 0;
    });
    EXPECT_EQ(zeros, 3) << model;
  }
}

// timm's zero_init_last: the last convolution of a block whose norms come first.
TEST(ZeroGamma, EndsAPreactivationBlockWithAConvolutionOfZeros) {
  for (const char* model : {"resnetv2_18", "resnetv2_50"}) {
    Sequential net =
        models::make(model, {.in_channels = 1, .classes = 2, .blocks = {2, 1}, .channels = {64, 64}});
    init(net, net.scheme(), 1);
    init_zero_gamma(net);
    const std::string last = std::string(model).ends_with("50") ? ".conv3.weight" : ".conv2.weight";
    int zeros = 0;
    for_each_parameter(net, [&](const std::string& name, const Parameter& p) {
      if (p.kind == ParameterKind::norm_weight) EXPECT_EQ(p.value.values()[0], 1) << model << ' ' << name;
      if (p.kind != ParameterKind::weight) return;
      const bool zero = std::ranges::all_of(p.value.values(), [](float v) { return v == 0; });
      EXPECT_EQ(zero, name.ends_with(last)) << model << ' ' << name;
      zeros += zero ? 1 : 0;
    });
    EXPECT_EQ(zeros, 3) << model;
  }
}

TEST(ZeroGamma, SeesBehindSqueezeExciteAndDropPath) {
  Sequential net = models::make("seresnet50", {.in_channels = 1,
                                               .classes = 2,
                                               .blocks = {1},
                                               .channels = {64},
                                               .shortcut = Shortcut::avgpool,
                                               .drop_path = 0.1});
  init(net, net.scheme(), 1);
  init_zero_gamma(net);
  EXPECT_EQ(parameter(net, "layer1.0.bn3.weight").value.values()[0], 0);
  EXPECT_EQ(parameter(net, "layer1.0.bn2.weight").value.values()[0], 1);
  EXPECT_EQ(parameter(net, "layer1.0.downsample.2.weight").value.values()[0], 1);
}

// Nothing would come through, and nothing would ever learn.
TEST(ZeroGamma, LeavesPlainBlocksAsTheyAre) {
  for (const char* model : {"d2l_resnet18", "resnet18", "resnet50", "resnetv2_18"}) {
    Sequential net = models::make(
        model, {.in_channels = 1, .classes = 2, .blocks = {1}, .channels = {64}, .shortcut = Shortcut::none});
    init(net, net.scheme(), 1);
    init_zero_gamma(net);
    for_each_parameter(net, [&](const std::string& name, const Parameter& p) {
      if (p.kind != ParameterKind::weight && p.kind != ParameterKind::norm_weight) return;
      EXPECT_FALSE(std::ranges::all_of(p.value.values(), [](float v) { return v == 0; }))
          << model << ' ' << name;
    });
  }
}

// Filters on the patches that they were made of have the covariance of independent numbers of variance 1.
TEST(Whitening, MakesPatchesUncorrelated) {
  Tensor images(Shape{4, 2, 12, 12});
  const Tensor noise = random_uniform(images.shape(), 5);
  for (std::size_t i = 0; i < images.values().size(); ++i) {  // smooth along a row
    const float before = i % 12 == 0 ? 0.0F : images.values()[i - 1];
    images.values()[i] = 0.7F * before + 3 * noise.values()[i];
  }
  Sequential net(Conv2d{2, 40, {.kernel = 3}});
  init(net, Scheme::chapter, 1);
  const Tensor before = parameter(net, "0.weight").value;
  EXPECT_EQ(init_whitening(net, images), "0");
  const std::span<const float> w = parameter(net, "0.weight").value.values();
  constexpr std::size_t kSize = 18, kPlaces = 4 * 10 * 10;
  std::vector<std::vector<double>> outputs(kSize);
  for (std::size_t f = 0; f < kSize; ++f) {
    for (std::size_t place = 0; place < kPlaces; ++place) {
      const std::size_t n = place / 100, y = place / 10 % 10, x = place % 10;
      double sum = 0;
      for (std::size_t k = 0; k < kSize; ++k) {
        const std::size_t c = k / 9, dy = k / 3 % 3, dx = k % 3;
        sum += static_cast<double>(w[f * kSize + k]) *
               static_cast<double>(images.values()[((n * 2 + c) * 12 + y + dy) * 12 + x + dx]);
      }
      outputs[f].push_back(sum);
    }
  }
  const auto mean = [&](std::size_t f) {
    double sum = 0;
    for (const double v : outputs[f]) sum += v;
    return sum / kPlaces;
  };
  for (std::size_t a = 0; a < kSize; ++a) {
    for (std::size_t b = 0; b < kSize; ++b) {
      double covariance = 0;
      for (std::size_t i = 0; i < kPlaces; ++i)
        covariance += (outputs[a][i] - mean(a)) * (outputs[b][i] - mean(b)) / kPlaces;
      EXPECT_NEAR(covariance, a == b ? 1 : 0, 0.01) << a << ' ' << b;  // 5e-4 beside an eigenvalue above 0.1
    }
    for (std::size_t k = 0; k < kSize; ++k) EXPECT_EQ(w[(a + kSize) * kSize + k], -w[a * kSize + k]);
  }
  for (std::size_t i = 2 * kSize * kSize; i < w.size(); ++i) EXPECT_EQ(w[i], before.values()[i]);
  for (const float b : parameter(net, "0.bias").value.values()) EXPECT_EQ(b, 0);
}

TEST(Starts, ChangeValuesThatAreThere) {
  nn::Sequential net = models::resnet18();
  EXPECT_THROW(nn::init_dirac(net), ConfigError);
  EXPECT_THROW(nn::init_zero_gamma(net), ConfigError);
  EXPECT_THROW(nn::init_whitening(net, random_uniform({4, 3, 16, 16})), ConfigError);
  nn::init(net, Scheme::torchvision, 1);
  EXPECT_THROW(nn::init_whitening(net, Tensor({0, 3, 16, 16})), ConfigError) << "no images";
}

TEST(Whitening, OfBatchesHasTheBitsOfAllAtOnce) {
  const Tensor images = random_uniform({5, 3, 9, 9});
  Sequential whole(Conv2d{3, 60, {.kernel = 3}}), parts(Conv2d{3, 60, {.kernel = 3}});
  for (Sequential* net : {&whole, &parts}) init(*net, Scheme::chapter, 1);
  init_whitening(whole, images);
  std::vector<Tensor> batches = {Tensor(Shape{2, 3, 9, 9}), Tensor(Shape{3, 3, 9, 9})};
  const std::span<const float> all = images.values();
  std::ranges::copy(all.first(2 * 243), batches[0].values().begin());
  std::ranges::copy(all.subspan(2 * 243), batches[1].values().begin());
  std::size_t given = 0;
  init_whitening(parts, [&] { return given < 2 ? &batches[given++] : nullptr; });
  EXPECT_THAT(parameter(parts, "0.weight").value.values(),
              testing::ElementsAreArray(parameter(whole, "0.weight").value.values()));
}

TEST(Whitening, RefusesANetworkThatBeginsOtherwise) {
  Sequential linear(Flatten{}, Linear{4, 2}), other(Conv2d{3, 4});
  init(linear, Scheme::chapter, 1);
  init(other, Scheme::chapter, 1);
  const Tensor images(Shape{1, 1, 8, 8});
  EXPECT_THROW(init_whitening(linear, images), ConfigError);
  EXPECT_THROW(init_whitening(other, images), ConfigError);
}

}  // namespace
}  // namespace resnet::nn
