// Twenty thousand random convolutions for every instruction set of this machine.
#include <gtest/gtest.h>

#include <string>

#include "conv_case.h"

namespace resnet::kernels {
namespace {

using testing::ConvMachine;

class ConvSlow : public ::testing::TestWithParam<ConvMachine> {};

constexpr std::uint64_t kFirst = 100'000;  // beyond the seeds of conv_test.cpp

TEST_P(ConvSlow, DirectOnIntegers) {
  testing::compare_direct_on_integers(GetParam(), kFirst, kFirst + 8000);
}
TEST_P(ConvSlow, DirectOnFloats) {
  testing::compare_direct_on_floats(GetParam(), kFirst, kFirst + 4000);
}
TEST_P(ConvSlow, Parity) {
  testing::compare_parity(GetParam(), kFirst, kFirst + 4000);
}
TEST_P(ConvSlow, Winograd) {
  testing::compare_winograd(GetParam(), kFirst, kFirst + 4000);
}
TEST_P(ConvSlow, Grouped) {
  testing::compare_grouped(GetParam(), kFirst, kFirst + 8000);
}

INSTANTIATE_TEST_SUITE_P(AllMachines, ConvSlow, ::testing::ValuesIn(testing::conv_machines()),
                         [](const ::testing::TestParamInfo<ConvMachine>& machine) {
                           return std::string(name_of(machine.param.isa));
                         });

}  // namespace
}  // namespace resnet::kernels
