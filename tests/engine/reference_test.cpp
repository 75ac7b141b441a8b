// The native engine against the oracle on the zoo: logits, loss, all gradients and the running
// statistics, at every instruction set that this machine has.
//
// The tolerance is derived: an untrained network with batch statistics of few values amplifies
// rounding by orders of magnitude, so what f32 may deviate is measured by running the oracle itself
// with noise of the size of f32 rounding at every node.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "base/machine.h"
#include "engine/zoo_case.h"

namespace resnet {
namespace {

using test::ZooCase;

class AgainstReference : public ::testing::TestWithParam<ZooCase> {};

TEST_P(AgainstReference, ForwardAndAllGradientsAgree) {
  test::expect_native_matches_reference(GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, AgainstReference,
    ::testing::Values(ZooCase{"d2l_resnet18", {2, 3, 64, 64}}, ZooCase{"d2l_resnet34", {2, 3, 64, 64}},
                      ZooCase{"d2l_resnet50", {2, 3, 64, 64}}, ZooCase{"resnet18", {2, 3, 64, 64}},
                      ZooCase{"resnet34", {2, 3, 64, 64}}, ZooCase{"resnet50", {2, 3, 64, 64}},
                      ZooCase{"d2l_resnet18", {3, 1, 97, 61}}),
    [](const auto& tested) { return tested.param.model + "_" + std::to_string(tested.index); });

}  // namespace
}  // namespace resnet
