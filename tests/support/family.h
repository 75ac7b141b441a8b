// Networks of every kind that the family adds to the zoo, small.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "resnet/models.h"

namespace resnet::test {

struct FamilyCase {
  std::string label, model;
  models::ResNetOptions options;

  std::int64_t in_channels() const { return model[0] == 'd' ? 1 : 3; }
};
inline void PrintTo(const FamilyCase& c, std::ostream* out) {
  *out << c.label;
}

/// With ten classes, and few blocks and channels.
inline std::vector<FamilyCase> family_cases() {
  std::vector<FamilyCase> cases = {
      {"wide", "wide_resnet50_2", {}},
      {"groups", "resnext50_32x4d", {.width_per_group = 8}},
      {"four_groups", "resnet50", {.groups = 4, .width_per_group = 16}},
      {"depthwise", "resnet50", {.groups = 24, .width_per_group = 4}},
      {"d", "resnet18d", {}},
      {"d_deep", "resnet50d", {}},
      {"se", "seresnet18", {}},
      {"se_groups", "seresnext50_32x4d", {.width_per_group = 8}},
      {"v2", "resnetv2_18", {}},
      {"v2_deep", "resnetv2_50", {}},
      {"v2_d_se",
       "resnetv2_50",
       {.stem = models::Stem::deep, .shortcut = nn::Shortcut::avgpool, .se_reduction = 4}},
      {"v2_plain", "resnetv2_18", {.shortcut = nn::Shortcut::none}},
      {"plain", "d2l_resnet18", {.shortcut = nn::Shortcut::none}},
      {"plain_deep", "resnet50", {.shortcut = nn::Shortcut::none}},
      {"strides", "resnet18", {.strides = {2, 3}, .stem = models::Stem::small, .stem_channels = 8}},
      {"chapter_deep_stem", "d2l_resnet50", {.stem = models::Stem::deep}}};
  for (FamilyCase& c : cases) {
    c.options.in_channels = c.in_channels();
    c.options.classes = 10;
    c.options.blocks = {1, 2};
    c.options.channels = {16, 32};
  }
  return cases;
}

}  // namespace resnet::test
