// The plans of the zoo are golden files: which kernels, how much memory, how many sweeps. A change of the
// compiler that changes them shows here.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "compiler/compile.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "resnet/models.h"
#include "support/paths.h"

namespace resnet {
namespace {

struct Case {
  const char* model;
  Shape images;
};

plan::Plan plan_of(const Case& c, Mode mode, Isa isa, DType activations) {
  const nn::Sequential net = models::make(c.model, {.in_channels = c.images[1], .classes = 10});
  graph::Graph graph = nn::trace(net, c.images, mode);
  if (mode == Mode::train) graph = compiler::training_step(std::move(graph), compiler::StepKind::update);
  plan::StateLayout layout;
  for (const graph::ValueInfo& value : graph.values()) {
    const bool state = value.role == graph::Role::parameter || value.role == graph::Role::buffer;
    if (state) layout.add(value.name, value.type.shape);
  }
  return compiler::compile(graph, cpu::Target(isa), layout, {.activations = activations});
}

// The plans of all instruction sets, one behind the other.
std::string plans_of(const std::vector<Case>& cases, Mode mode) {
  std::string text;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    const DType activations = isa == Isa::avx512_bf16 ? DType::bf16 : DType::f32;
    for (const Case& c : cases) {
      const plan::Plan plan = plan_of(c, mode, isa, activations);
      EXPECT_LE(static_cast<double>(plan.work_bytes), 1.05 * static_cast<double>(plan.live_bytes)) << c.model;
      text += fmt::format("{}{} {} {} {}\n{}\n", mode == Mode::eval ? "evaluation of " : "", c.model,
                          to_string(c.images), name_of(activations), name_of(isa), plan::summary(plan));
    }
  }
  return text;
}

TEST(Plans, AreThoseOfTheGoldenFile) {
  const std::vector<Case> steps = {{"d2l_resnet18", {256, 1, 96, 96}}, {"d2l_resnet34", {64, 1, 96, 96}},
                                   {"d2l_resnet152", {64, 1, 96, 96}}, {"resnet18", {32, 3, 224, 224}},
                                   {"resnet50", {16, 3, 224, 224}},    {"d2l_resnet18", {3, 7, 97, 61}}};
  const std::vector<Case> evaluations = {{"d2l_resnet18", {1, 1, 96, 96}},
                                         {"d2l_resnet18", {1, 1, 224, 224}},
                                         {"resnet50", {1, 3, 224, 224}},
                                         {"d2l_resnet18", {256, 1, 96, 96}}};
  const std::string text = plans_of(steps, Mode::train) + plans_of(evaluations, Mode::eval);
  const std::filesystem::path golden = test::golden_folder() / "plans.txt";
  std::stringstream expected;
  expected << std::ifstream(golden).rdbuf();
  if (text != expected.str()) {
    std::ofstream("plans.txt") << text;
    ADD_FAILURE() << "the plans have changed: compare " << std::filesystem::absolute("plans.txt") << " with "
                  << golden << ", and put it there if it is what you want";
  }
}

}  // namespace
}  // namespace resnet
