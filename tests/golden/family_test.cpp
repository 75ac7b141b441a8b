// The ResNet family against torchvision and timm: counts, names, and logits of the smaller ones.
#include <span>

#include "base/sha256.h"
#include "golden/family_case.h"

namespace resnet {
namespace {

using test::json;

TEST(Family, CountsAndNamesAreThoseOfPyTorch) {
  const json golden = test::read_golden("family");
  for (const json& c : golden.at("cases")) {
    const auto model = c.at("model").get<std::string>();
    const nn::Sequential net = models::make(model, {});
    EXPECT_EQ(nn::parameter_count(net), c.at("parameters").get<std::int64_t>()) << model;
    std::string names;
    nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter&) {
      names += (names.empty() ? "" : "\n") + name;
    });
    Sha256 hash;
    hash.update(std::as_bytes(std::span(names)));
    EXPECT_EQ(hash.hex(), c.at("names_sha256").get<std::string>()) << model << ":\n" << names;
  }
}

class FamilyLogits : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyLogits, AreThoseOfPyTorchInBothModes) {
  test::expect_logits_of_pytorch(GetParam());
}

INSTANTIATE_TEST_SUITE_P(PyTorch, FamilyLogits, ::testing::Values("resnet18d", "seresnet18", "resnetv2_18"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace resnet
