// Which values a plan stores as bf16.
#include <gtest/gtest.h>

#include <string>

#include "compiler/compile.h"
#include "compiler/passes.h"
#include "compiler/training.h"
#include "cpu/target.h"
#include "resnet/models.h"

namespace resnet::compiler {
namespace {

const Shape kImages{4, 1, 32, 32};
const cpu::Target kTarget(Isa::avx512_bf16);

// Everything of four axes that is computed, but weights and what leaves the graph.
void expect_stored(const graph::Graph& graph) {
  const std::vector<graph::ValueType> types = store(graph, kTarget, DType::bf16).types;
  int half = 0;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const graph::ValueInfo& value = graph.values()[i];
    EXPECT_EQ(types[i].shape, value.type.shape);
    const bool weights = value.producer != graph::kNone &&
                         std::string(graph.nodes()[static_cast<std::size_t>(value.producer)].op->name())
                             .ends_with("weight_gradient");
    const bool sgd = value.producer != graph::kNone &&
                     graph.nodes()[static_cast<std::size_t>(value.producer)].op->name() == "sgd";
    const bool expected = value.role == graph::Role::computed && value.type.dtype == DType::f32 &&
                          value.type.shape.rank() == 4 && !weights && !sgd;
    EXPECT_EQ(types[i].dtype == DType::bf16, expected) << value.name << " " << to_string(value.type.shape);
    half += types[i].dtype == DType::bf16 ? 1 : 0;
  }
  EXPECT_GT(half, 30);
}

TEST(StorageTypes, OfATrainingStepAreBf16ForEveryActivationAndItsGradientAlone) {
  const nn::Sequential net = models::make("d2l_resnet18", {.in_channels = 1, .classes = 10});
  const graph::Graph step = training_step(nn::trace(net, kImages, Mode::train), StepKind::update);
  expect_stored(step);
  expect_stored(fuse(step, kTarget));
}

// The types that are decided once are those that the graph with its norms taken apart would be given anew.
TEST(StorageTypes, StayRightWhereNormsAreTakenApart) {
  for (const char* model : {"d2l_resnet18", "resnet18", "resnet50"}) {
    const nn::Sequential net = models::make(model, {.in_channels = 1, .classes = 10});
    const graph::Graph step = training_step(nn::trace(net, {4, 1, 64, 64}, Mode::train), StepKind::update);
    const StoredGraph fused = fuse_norms(store(fuse(step, kTarget), kTarget, DType::bf16), kTarget);
    EXPECT_EQ(fused.types, store(fused.graph, kTarget, DType::bf16).types) << model;
  }
}

TEST(StorageTypes, OfAGraphsOutputAndOfWhatItsKernelReadsWithItAreF32) {
  const nn::Conv2d conv(2, 4, {.kernel = 3, .padding = 1});
  const graph::Graph graph = nn::trace(conv, {1, 2, 8, 8}, Mode::eval);
  for (const graph::ValueType& type : store(graph, kTarget, DType::bf16).types)
    EXPECT_EQ(type.dtype, DType::f32);
}

TEST(StorageTypes, NeedTheInstructions) {
  const nn::Sequential net = models::make("d2l_resnet18", {.in_channels = 1, .classes = 10});
  const graph::Graph graph = nn::trace(net, kImages, Mode::eval);
  plan::StateLayout layout;
  for (const graph::ValueInfo& value : graph.values()) {
    if (value.role == graph::Role::parameter || value.role == graph::Role::buffer)
      layout.add(value.name, value.type.shape);
  }
  EXPECT_THROW(compile(graph, cpu::Target(Isa::avx512), layout, {.activations = DType::bf16}), ConfigError);
}

}  // namespace
}  // namespace resnet::compiler
