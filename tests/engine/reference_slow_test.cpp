// reference_test.cpp for the deepest networks.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "base/machine.h"
#include "engine/zoo_case.h"

namespace resnet {
namespace {

using test::ZooCase;

class AgainstReferenceSlow : public ::testing::TestWithParam<ZooCase> {};

TEST_P(AgainstReferenceSlow, ForwardAndAllGradientsAgree) {
  test::expect_native_matches_reference(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, AgainstReferenceSlow,
    ::testing::Values(ZooCase{"d2l_resnet101", {2, 3, 33, 33}}, ZooCase{"d2l_resnet152", {2, 3, 33, 33}},
                      ZooCase{"resnet101", {2, 3, 33, 33}}, ZooCase{"resnet152", {2, 3, 33, 33}}),
    [](const auto& tested) { return tested.param.model + "_" + std::to_string(tested.index); });

}  // namespace
}  // namespace resnet
