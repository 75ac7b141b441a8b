// The plans of the zoo for GPUs are a golden file, with cuDNN and without, made on any machine; and they are
// the text that plans have.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/sha256.h"
#include "gpu/target.h"
#include "resnet/models.h"
#include "support/zoo_plans.h"

namespace resnet {
namespace {

using test::PlanCase;

TEST(GpuPlans, AreThoseOfTheGoldenFile) {
  const std::vector<PlanCase> steps = {{"d2l_resnet18", {256, 1, 96, 96}},
                                       {"resnet50", {256, 3, 224, 224}},
                                       {"resnext50_32x4d", {64, 3, 224, 224}},
                                       {"seresnet18", {32, 3, 224, 224}},
                                       {"d2l_resnet18", {3, 7, 97, 61}}};
  std::string text;
  // With the cuDNN of a card of this architecture; 0: without.
  const auto add = [&](const PlanCase& c, Mode mode, DType activations, gpu::Products products,
                       int cudnn = 0) {
    const plan::Plan plan = test::plan_of(c, mode, gpu::Target(products, {cudnn}), activations);
    text += fmt::format("{}{} {} {}{}{}\n{}\n", mode == Mode::eval ? "evaluation of " : "", c.model,
                        to_string(c.images), name_of(activations),
                        products == gpu::Products::tf32 ? " as tf32" : "",
                        cudnn > 0 ? fmt::format(" with cuDNN on sm_{}", cudnn) : "", plan::summary(plan));
  };
  for (const PlanCase& c : steps) {
    add(c, Mode::train, DType::bf16, gpu::Products::f32);
    add(c, Mode::train, DType::f32, gpu::Products::f32);
  }
  add(steps[0], Mode::train, DType::f32, gpu::Products::tf32);
  add(steps[0], Mode::eval, DType::bf16, gpu::Products::f32);
  for (const PlanCase& c : steps) add(c, Mode::train, DType::bf16, gpu::Products::f32, 90);
  add(steps[0], Mode::eval, DType::bf16, gpu::Products::f32, 90);
  for (const int architecture : {80, 90, 120})
    add(steps[0], Mode::train, DType::f32, gpu::Products::tf32, architecture);
  // Of every network what shows that it has changed; resnet plan shows what.
  for (const std::string& name : models::names()) {
    const PlanCase c{name.c_str(), {32, name.starts_with("d2l_") ? 1 : 3, 224, 224}};
    for (const int cudnn : {0, 90}) {
      const plan::Plan plan =
          test::plan_of(c, Mode::train, gpu::Target(gpu::Products::f32, {cudnn}), DType::bf16);
      text += fmt::format("{} {} bf16{}: sha256 {}\n", name, to_string(c.images),
                          cudnn > 0 ? fmt::format(" with cuDNN on sm_{}", cudnn) : "",
                          sha256_of(plan::to_string(plan)));
    }
  }
  test::expect_golden_plans(text, "gpu_plans.txt");
}

TEST(GpuPlans, SayHowManyBlocksAConvolutionHas) {
  const plan::Plan plan =
      test::plan_of({"d2l_resnet18", {256, 1, 96, 96}}, Mode::train, gpu::Target(), DType::bf16);
  const std::string text = plan::to_string(plan);
  EXPECT_NE(text.find("gemm_forward_bf16_wide"), std::string::npos);
  EXPECT_NE(text.find("implicit GEMM, 2304x1 tiles"), std::string::npos)
      << text;  // 256*24*24 pixels, 64 channels
  for (const plan::Buffer& buffer : plan.buffers) {
    if (buffer.region != plan::Region::state) EXPECT_EQ(buffer.offset % 256, 0);
  }
}

}  // namespace
}  // namespace resnet
