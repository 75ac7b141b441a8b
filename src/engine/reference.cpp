// The reference engine: the graph as it stands, in double, one readable kernel at a time.
#include <map>
#include <optional>

#include "compiler/training.h"
#include "engine/checks.h"
#include "engine/interpreter.h"
#include "resnet/engine.h"

namespace resnet {
namespace {

using graph::Graph;
using graph::Role;

using engine::Values;

class ReferenceEngine final : public Engine {
 public:
  ReferenceEngine(Network network, const EngineOptions& options)
      : network_(std::move(network)), seed_(options.seed) {
    engine::check_state_names(network_);
    set_state(network_.state);
  }

  StepResult step(View<const float> images, View<const std::int32_t> labels, float lr) override {
    return run_step(compiler::StepKind::update, images, labels, lr);
  }
  StepResult gradients(View<const float> images, View<const std::int32_t> labels) override {
    return run_step(compiler::StepKind::gradients, images, labels, 0);
  }
  void apply(float lr) override {
    if (!apply_graph_) throw ConfigError("apply() before gradients()");
    engine::interpret(*apply_graph_, {{compiler::kLearningRate, {lr}}}, values_);
  }
  Tensor infer(View<const float> images) override {
    const Graph graph = network_.eval.reshaped({{compiler::kImages, images.shape}});
    const auto outputs = engine::interpret(
        graph,
        {{compiler::kImages, Values(images.data, images.data + images.shape.elements())},
         {compiler::kSeedStep, {static_cast<double>(seed_), static_cast<double>(train_steps_)}}},
        values_);
    Tensor result(graph.value(graph.output(compiler::kOutput)).type.shape);
    const Values& values = outputs.at(compiler::kOutput);
    for (std::size_t i = 0; i < values.size(); ++i) result.values()[i] = static_cast<float>(values[i]);
    return result;
  }

  State state() const override {
    State result;
    for (const auto& [name, tensor] : network_.state) {
      Tensor value = tensor;
      if (tensor.dtype() == DType::f32) {
        store(values_.at(name), value);
      } else {
        engine::advance_count(value, train_steps_);
      }
      result.emplace_back(name, std::move(value));
    }
    return result;
  }
  void set_state(const State& state) override {
    engine::check_state(engine::types_of(network_.state), state);
    for (auto& [name, tensor] : network_.state) {
      if (tensor.dtype() != DType::f32) engine::advance_count(tensor, train_steps_);
      for (const auto& [given_name, given] : state) {
        if (given_name == name) tensor = given;
      }
      if (tensor.dtype() == DType::f32)
        values_[name] = Values(tensor.values().begin(), tensor.values().end());
    }
    train_steps_ = 0;
  }
  State gradient_values() const override {
    if (!apply_graph_) throw ConfigError("gradient_values() before gradients()");
    State result;
    const std::map<std::string, Role> roles = engine::state_roles(network_);
    for (const auto& [name, tensor] : network_.state) {
      const auto role = roles.find(name);
      if (role == roles.end() || role->second != Role::parameter) continue;
      Tensor value(tensor.shape());  // zero where the gradient is zero by algebra
      const auto found = values_.find(compiler::gradient_name(name));
      if (found != values_.end()) store(found->second, value);
      result.emplace_back(name, std::move(value));
    }
    return result;
  }
  std::string isa() const override { return "reference"; }
  int threads() const override { return 1; }
  std::int64_t arena_bytes() const override { return 0; }
  std::string describe(const Shape&, Mode) override { return {}; }
  std::vector<CallTime> profile(View<const float>, View<const std::int32_t>, float) override { return {}; }

 private:
  static void store(const Values& values, Tensor& tensor) {
    for (std::size_t i = 0; i < values.size(); ++i) tensor.values()[i] = static_cast<float>(values[i]);
  }

  StepResult run_step(compiler::StepKind kind, View<const float> images, View<const std::int32_t> labels,
                      float lr) {
    if (!network_.train) throw ConfigError("this network cannot be trained: it was made for inference");
    const Graph graph =
        compiler::training_step(network_.train->reshaped({{compiler::kImages, images.shape}}), kind);
    engine::check_labels(labels, Shape{images.shape[0]},
                         graph.value(graph.output(compiler::kOutput)).type.shape[1]);
    if (kind == compiler::StepKind::gradients) apply_graph_ = compiler::apply_step(graph);
    const auto outputs = engine::interpret(
        graph,
        {{compiler::kImages, Values(images.data, images.data + images.shape.elements())},
         {compiler::kLabels, Values(labels.data, labels.data + labels.shape.elements())},
         {compiler::kLearningRate, {lr}},
         {compiler::kSeedStep, {static_cast<double>(seed_), static_cast<double>(train_steps_)}}},
        values_);
    ++train_steps_;
    return {outputs.at(compiler::kLossSum)[0], static_cast<std::int64_t>(outputs.at(compiler::kCorrect)[0])};
  }

  Network network_;
  std::uint64_t seed_;
  engine::NamedValues values_;  // state
  std::optional<Graph> apply_graph_;
  std::int64_t train_steps_ = 0;
};

}  // namespace

std::unique_ptr<Engine> make_reference_engine(Network network, const EngineOptions& options) {
  return std::make_unique<ReferenceEngine>(std::move(network), options);
}

}  // namespace resnet
