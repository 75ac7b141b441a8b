// What the family adds to the zoo, at small sizes: the native engine's logits and gradients are the
// reference's.
#include <gtest/gtest.h>

#include "engine/zoo_case.h"
#include "resnet/models.h"
#include "support/networks.h"

namespace resnet {
namespace {

struct Case {
  std::string label, model;
  models::ResNetOptions options;
};

class FamilyAgainstReference : public ::testing::TestWithParam<Case> {};

TEST_P(FamilyAgainstReference, ForwardAndAllGradientsAgree) {
  models::ResNetOptions options = GetParam().options;
  options.classes = 10;
  if (options.blocks.empty()) options.blocks = {1, 2};
  if (options.channels.empty()) options.channels = {16, 32};
  const nn::Sequential net = test::random_network(GetParam().model, options);
  test::expect_native_matches_reference(net, {3, GetParam().model[0] == 'd' ? 1 : 3, 37, 29});
}

INSTANTIATE_TEST_SUITE_P(
    Networks, FamilyAgainstReference,
    ::testing::Values(
        Case{"wide", "wide_resnet50_2", {}}, Case{"groups", "resnext50_32x4d", {.width_per_group = 8}},
        Case{"four_groups", "resnet50", {.groups = 4, .width_per_group = 16}},
        Case{"depthwise", "resnet50", {.groups = 24, .width_per_group = 4}}, Case{"d", "resnet18d", {}},
        Case{"d_deep", "resnet50d", {}}, Case{"se", "seresnet18", {}},
        Case{"se_groups", "seresnext50_32x4d", {.width_per_group = 8}}, Case{"v2", "resnetv2_18", {}},
        Case{"v2_deep", "resnetv2_50", {}},
        Case{"v2_d_se",
             "resnetv2_50",
             {.stem = models::Stem::deep, .shortcut = nn::Shortcut::avgpool, .se_reduction = 4}},
        Case{"v2_plain", "resnetv2_18", {.shortcut = nn::Shortcut::none}},
        Case{"plain", "d2l_resnet18", {.shortcut = nn::Shortcut::none}},
        Case{"plain_deep", "resnet50", {.shortcut = nn::Shortcut::none}},
        Case{"strides", "resnet18", {.strides = {2, 3}, .stem = models::Stem::small, .stem_channels = 8}},
        Case{"chapter_deep_stem", "d2l_resnet50", {.stem = models::Stem::deep}}),
    [](const auto& tested) { return tested.param.label; });

}  // namespace
}  // namespace resnet
