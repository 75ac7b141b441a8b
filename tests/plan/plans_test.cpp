// The plans of the zoo are golden files: which kernels, how much memory, how many sweeps. A change of the
// compiler that changes them shows here.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

#include "cpu/target.h"
#include "support/zoo_plans.h"

namespace resnet {
namespace {

using test::PlanCase;

// The plans of all instruction sets, one behind the other.
std::string plans_of(const std::vector<PlanCase>& cases, Mode mode) {
  std::string text;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    const DType activations = isa == Isa::avx512_bf16 ? DType::bf16 : DType::f32;
    for (const PlanCase& c : cases) {
      const plan::Plan plan = test::plan_of(c, mode, cpu::Target(isa), activations);
      EXPECT_LE(static_cast<double>(plan.work_bytes), 1.05 * static_cast<double>(plan.live_bytes)) << c.model;
      text += fmt::format("{}{} {} {} {}\n{}\n", mode == Mode::eval ? "evaluation of " : "", c.model,
                          to_string(c.images), name_of(activations), name_of(isa), plan::summary(plan));
    }
  }
  return text;
}

TEST(Plans, AreThoseOfTheGoldenFile) {
  const std::vector<PlanCase> steps = {{"d2l_resnet18", {256, 1, 96, 96}}, {"d2l_resnet34", {64, 1, 96, 96}},
                                       {"d2l_resnet152", {64, 1, 96, 96}}, {"resnet18", {32, 3, 224, 224}},
                                       {"resnet50", {16, 3, 224, 224}},    {"d2l_resnet18", {3, 7, 97, 61}}};
  const std::vector<PlanCase> evaluations = {{"d2l_resnet18", {1, 1, 96, 96}},
                                             {"d2l_resnet18", {1, 1, 224, 224}},
                                             {"resnet50", {1, 3, 224, 224}},
                                             {"d2l_resnet18", {256, 1, 96, 96}}};
  test::expect_golden_plans(plans_of(steps, Mode::train) + plans_of(evaluations, Mode::eval), "plans.txt");
}

}  // namespace
}  // namespace resnet
