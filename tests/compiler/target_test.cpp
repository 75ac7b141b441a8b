// The seam between compiler and machine: a second target, on which every operation is its readable reference.
// Plans for it run on the same executor and give what the interpreter gives.
#include "cpu/target.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "compiler/compile.h"
#include "compiler/training.h"
#include "engine/interpreter.h"
#include "exec/executor.h"
#include "graph/names.h"
#include "support/networks.h"

namespace resnet {
namespace {

using engine::NamedValues;
using engine::Values;

// Elements of any type as doubles, both ways.
template <class Visit>
void visit(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::f32:
      return visit(float{});
    case DType::f64:
      return visit(double{});
    case DType::i32:
      return visit(std::int32_t{});
    case DType::i64:
      return visit(std::int64_t{});
    case DType::u8:
      return visit(std::uint8_t{});
    default:
      FAIL() << "no type of this target";
  }
}

Values read(const void* data, const graph::ValueType& type) {
  Values values(static_cast<std::size_t>(type.shape.elements()));
  visit(type.dtype, [&](auto zero) {
    const auto* from = static_cast<const decltype(zero)*>(data);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(from[i]);
  });
  return values;
}

void write(const Values& values, void* data, DType dtype) {
  visit(dtype, [&](auto zero) {
    auto* to = static_cast<decltype(zero)*>(data);
    for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<decltype(zero)>(values[i]);
  });
}

// One operation on public layouts.
class ReferenceKernel final : public kernels::Kernel {
 public:
  ReferenceKernel(graph::Op op, const ops::Signature& s)
      : op_(std::move(op)), outputs_(s.outputs.begin(), s.outputs.end()) {
    for (const ops::ValueType* type : s.inputs)
      inputs_.push_back(type == nullptr ? std::nullopt : std::optional(*type));
  }
  std::string_view name() const noexcept override { return "reference"; }
  std::int64_t tasks(int) const noexcept override { return 1; }
  void run(const kernels::Call& call, int, std::int64_t) const noexcept override {
    std::vector<Values> memory(inputs_.size() + outputs_.size());
    std::vector<const ops::ValueType*> types;
    std::vector<View<const double>> in;
    std::vector<View<double>> out;
    int operand = 0;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const auto& type = inputs_[i];
      types.push_back(type ? &*type : nullptr);
      in.emplace_back();
      if (!type && i >= op_->listed_inputs()) continue;
      const void* data = call.operands[operand++];
      if (!type) continue;
      memory[i] = read(data, *type);
      in.back() = {memory[i].data(), type->shape};
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      memory[inputs_.size() + i].resize(static_cast<std::size_t>(outputs_[i].shape.elements()));
      out.push_back({memory[inputs_.size() + i].data(), outputs_[i].shape});
    }
    static_cast<const ops::Operation&>(*op_).evaluate({types, outputs_}, in, out);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const bool absent = outputs_[i].shape.rank() == 0;
      if (!absent) write(memory[inputs_.size() + i], call.operands[operand++], outputs_[i].dtype);
    }
  }

 private:
  graph::Op op_;
  std::vector<std::optional<ops::ValueType>> inputs_;
  std::vector<ops::ValueType> outputs_;
};

// Fuses nothing, and asks for buffers at multiples of a page.
class ReferenceTarget final : public compiler::Target {
 public:
  std::string_view name() const override { return "reference"; }
  void check(DType) const override {}
  std::int64_t alignment() const override { return 4096; }
  bool serves(const ops::Operation&, const ops::Signature&) const override { return false; }
  compiler::Lowering lower(const graph::Node& node, const ops::Signature& s) const override {
    return {std::make_unique<ReferenceKernel>(node.op, s), "readable"};
  }
  // All operands are read before any result is written.
  std::vector<std::size_t> in_place(const ops::Operation& operation, std::size_t) const override {
    std::vector<std::size_t> all(operation.input_names().size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
  }
};

TEST(Target, ASecondOneRunsATrainingStepFromAPlan) {
  const nn::Sequential net = test::initialised(
      nn::Sequential(nn::Conv2d{1, 6, {.kernel = 7, .stride = 2, .padding = 3}}, nn::BatchNorm2d{6},
                     nn::ReLU{}, nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, nn::Residual{6, 6},
                     nn::Residual{6, 8, {.use_1x1conv = true, .stride = 2}}, nn::GlobalAvgPool2d{},
                     nn::Flatten{}, nn::Linear{8, 10}));
  const Shape images{4, 1, 33, 35};
  const Network network = network_of(net, images);
  const test::Examples e = test::examples(images, 10);
  const graph::Graph step = compiler::training_step(*network.train, compiler::StepKind::gradients);

  plan::StateLayout layout;
  for (const graph::ValueInfo& value : step.values()) {
    if (value.role == graph::Role::parameter || value.role == graph::Role::buffer)
      layout.add(value.name, value.type.shape);
  }
  exec::Executor executor(compiler::compile(step, ReferenceTarget(), layout));
  const plan::Plan& plan = executor.plan();
  EXPECT_EQ(plan.target, "reference");
  EXPECT_EQ(plan.calls.size(), step.nodes().size());
  for (const plan::Buffer& buffer : plan.buffers) {
    if (buffer.region == plan::Region::work) EXPECT_EQ(buffer.offset % 4096, 0);
  }
  ThreadPool pool(2);
  exec::Arena arena(2);
  arena.reserve(layout.bytes(), plan.work_bytes, plan.scratch_bytes);
  executor.bind(arena);
  NamedValues state;
  for (const auto& [name, tensor] : network.state) {
    if (tensor.dtype() != DType::f32) continue;
    state[name] = Values(tensor.values().begin(), tensor.values().end());
    write(state[name], arena.state() + layout.find(name)->offset, DType::f32);
  }
  const auto labels = e.labels.view<std::int32_t>().span();
  const NamedValues inputs = {{graph::kImages, Values(e.images.values().begin(), e.images.values().end())},
                              {compiler::kLabels, Values(labels.begin(), labels.end())}};
  for (const plan::Slot& slot : plan.inputs) write(inputs.at(slot.name), executor.data(slot), slot.dtype);
  executor.run(pool);

  const NamedValues outputs = engine::interpret(step, inputs, state);
  const double loss = outputs.at(compiler::kLossSum)[0];
  EXPECT_NEAR(*reinterpret_cast<const double*>(executor.data(*plan.output(compiler::kLossSum))), loss,
              1e-5 * loss);
  for (const auto& [name, expected] : state) {
    if (!name.starts_with("gradient/")) continue;
    const plan::StateLayout::Entry& entry = *layout.find(name);
    const Values got = read(arena.state() + entry.offset, {entry.shape, DType::f32});
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      difference += (got[i] - expected[i]) * (got[i] - expected[i]);
      size += expected[i] * expected[i];
    }
    // Values are rounded to f32 between the calls, and there alone.
    EXPECT_LE(difference, 1e-8 * size) << name;
  }
}

// A kernel for everything that the compiler may emit: lower() of an unknown kind throws.
TEST(Target, TheCpuHasRulesForEveryKindOfOperation) {
  for (const ops::Kind& kind : ops::all()) EXPECT_TRUE(cpu::Target::knows(kind.name)) << kind.name;
  EXPECT_FALSE(cpu::Target::knows("format_disk"));
}

}  // namespace
}  // namespace resnet
