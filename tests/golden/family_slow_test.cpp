// family_test.cpp for the networks of 50 layers.
#include "golden/family_case.h"

namespace resnet {
namespace {

class FamilyLogitsSlow : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyLogitsSlow, AreThoseOfPyTorchInBothModes) {
  test::expect_logits_of_pytorch(GetParam());
}

INSTANTIATE_TEST_SUITE_P(PyTorch, FamilyLogitsSlow,
                         ::testing::Values("wide_resnet50_2", "resnext50_32x4d", "resnet50d", "seresnet50",
                                           "resnetv2_50"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace resnet
