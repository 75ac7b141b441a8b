// The reference engine: the graph as it stands, in double, one readable kernel at a time.
#include <map>
#include <optional>

#include "base/machine.h"
#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "engine/checks.h"
#include "engine/gate.h"
#include "engine/interpreter.h"
#include "graph/names.h"
#include "ops/dropout.h"
#include "resnet/engine.h"

namespace resnet {
namespace {

using engine::Gate;
using engine::Values;
using graph::Graph;
using graph::Role;

// In the public layout, which the interpreter takes.
Values values_of(const ImageView& images) {
  const Shape& s = images.shape;
  if (images.layout == ImageLayout::nchw) return {images.data, images.data + s.elements()};
  Values values;
  values.reserve(static_cast<std::size_t>(s.elements()));
  for (std::int64_t n = 0; n < s[0]; ++n) {
    for (std::int64_t c = 0; c < s[1]; ++c) {
      for (std::int64_t i = 0; i < s[2] * s[3]; ++i)
        values.push_back(images.data[(n * s[2] * s[3] + i) * s[1] + c]);
    }
  }
  return values;
}

template <class T>
Values values_of(View<const T> view) {
  return {view.span().begin(), view.span().end()};
}

class ReferenceEngine final : public Engine {
 public:
  ReferenceEngine(Network network, const EngineOptions& options)
      : network_(std::move(network)),
        seed_(options.seed),
        optimizer_(options.optimizer),
        loss_(options.loss) {
    check(loss_);
    engine::check_network(network_);
    const State given = std::move(network_.state);
    for (const auto& [name, tensor] : given) {
      types_.push_back({name, {tensor.shape(), tensor.dtype()}});
      if (tensor.dtype() == DType::f32) {
        values_[name] = Values(tensor.values().begin(), tensor.values().end());
      } else {
        counts_[name] = tensor;
      }
    }
    network_values_ = types_.size();
    for (auto& slot : engine::optimizer_slots(network_, optimizer_)) {
      values_[slot.first] = Values(static_cast<std::size_t>(slot.second.shape.elements()));
      types_.push_back(std::move(slot));
    }
    for (const char* name : {engine::kSteps, engine::kUpdates}) {
      types_.push_back({name, {{}, DType::i64}});
      counts_[name] = Tensor(Shape{}, DType::i64);
    }
  }

  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("step()");
    return run_step(compiler::StepKind::update, images, targets, inputs);
  }
  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    const Gate::Pass pass = gate_.change("gradients()");
    engine::check_share(share, apply_graph_.has_value());
    if (share < 1) take_spans();
    return run_step(compiler::StepKind::means, images, targets, {}, share);
  }
  void apply(const StepInputs& inputs) override {
    const Gate::Pass pass = gate_.change("apply()");
    engine::check_gradients(apply_graph_.has_value());
    take_spans();
    engine::interpret(*apply_graph_,
                      {{compiler::kStepInputs, step_values(inputs)},
                       {compiler::kAverageShare, {static_cast<double>(inputs.average_share)}}},
                      values_);
    engine::advance_count(counts_.at(engine::kUpdates));
  }
  Tensor infer(const ImageView& images) override {
    const Gate::Pass pass = gate_.read();
    const Graph graph = engine::reshaped(network_.eval, images.shape).without_updates();
    const auto outputs = engine::interpret(
        graph, {{graph::kImages, values_of(images)}, {graph::kSeedStep, seed_step()}}, values_);
    Tensor result(graph.value(graph.output(graph::kOutput)).type.shape);
    store(outputs.at(graph::kOutput), result.values());
    return result;
  }

  State state(StateScope scope) const override {
    const Gate::Pass pass = gate_.read();
    State result;
    const std::size_t count = scope == StateScope::network ? network_values_ : types_.size();
    for (std::size_t i = 0; i < count; ++i) {
      const auto& [name, type] = types_[i];
      if (type.dtype != DType::f32) {
        result.emplace_back(name, counts_.at(name));
      } else if (scope == StateScope::network) {
        Tensor value(type.shape);
        store(values_.at(name), value.values());
        result.emplace_back(name, std::move(value));
      } else {
        Tensor value(type.shape, DType::f64);
        const Values& values = values_.at(name);
        std::copy(values.begin(), values.end(), value.view<double>().data);
        result.emplace_back(name, std::move(value));
      }
    }
    return result;
  }
  void set_state(const State& state) override {
    const Gate::Pass pass = gate_.change("set_state()");
    engine::check_state(types_, state, DType::f64);
    for (const auto& [name, given] : state) {
      if (given.dtype() == DType::f32) {
        values_[name] = Values(given.values().begin(), given.values().end());
      } else if (given.dtype() == DType::f64) {
        const auto values = given.view<double>().span();
        values_[name] = Values(values.begin(), values.end());
      } else {
        counts_[name] = given;
      }
    }
  }

  State gradient_values() const override {
    const Gate::Pass pass = gate_.read();
    engine::check_gradients(apply_graph_.has_value());
    State result;
    const std::map<std::string, Role> roles = engine::state_roles(network_);
    for (const auto& [name, type] : types_) {
      const auto role = roles.find(name);
      if (role == roles.end() || role->second != Role::parameter) continue;
      Tensor value(type.shape);  // zero where there is no gradient
      const auto found = values_.find(compiler::gradient_name(name));
      if (found != values_.end()) store(found->second, value.values());
      result.emplace_back(name, std::move(value));
    }
    return result;
  }
  std::vector<GradientSpan> gradient_spans() override {
    const Gate::Pass pass = gate_.read();
    engine::check_gradients(apply_graph_.has_value());
    take_spans();
    std::vector<GradientSpan> result;
    for (const auto& [name, type] : types_) {
      const auto found = values_.find(compiler::gradient_name(name));
      if (found == values_.end()) continue;
      Tensor& span = spans_.try_emplace(name, type.shape).first->second;
      store(found->second, span.values());
      result.push_back({name, span.values()});
    }
    return result;
  }

  DeviceInfo device() const override {
    return {.kind = "cpu", .name = cpu_model(), .target = "reference", .threads = 1};
  }

 private:
  static void store(const Values& values, std::span<float> to) {
    for (std::size_t i = 0; i < values.size(); ++i) to[i] = static_cast<float>(values[i]);
  }

  // What was written into the spans replaces the gradients; what was not stays as exact as it is.
  void take_spans() {
    for (const auto& [name, span] : spans_) {
      Values& values = values_.at(compiler::gradient_name(name));
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float written = span.values()[i];
        if (written != static_cast<float>(values[i])) values[i] = static_cast<double>(written);
      }
    }
  }

  Values seed_step() const { return ops::seed_step_operand(seed_, count(engine::kSteps)); }
  Values step_values(const StepInputs& inputs) const {
    const auto values = compiler::step_values(optimizer_, inputs, count(engine::kUpdates) + 1);
    return {values.begin(), values.end()};
  }
  std::int64_t count(const char* name) const { return counts_.at(name).view<std::int64_t>()[0]; }

  StepResult run_step(compiler::StepKind kind, const ImageView& images, const Targets& targets,
                      const StepInputs& inputs, float share = 1) {
    if (!network_.train) throw ConfigError("this network cannot be trained: it was made for inference");
    const Graph graph = compiler::training_step(engine::reshaped(*network_.train, images.shape), kind,
                                                optimizer_, {loss_, targets.mixed()});
    engine::check_targets(targets, images.shape[0], graph.value(graph.output(graph::kOutput)).type.shape[1]);
    spans_.clear();
    engine::NamedValues given = {{graph::kImages, values_of(images)},
                                 {compiler::kLabels, values_of(targets.labels)},
                                 {compiler::kStepInputs, step_values(inputs)},
                                 {compiler::kAverageShare, {static_cast<double>(inputs.average_share)}},
                                 {compiler::kGradientShare, {static_cast<double>(share)}},
                                 {graph::kSeedStep, seed_step()}};
    if (targets.mixed()) {
      given[compiler::kMixedLabels] = values_of(targets.mixed_labels);
      given[compiler::kMix] = values_of(targets.mix);
    }
    const auto outputs = engine::interpret(graph, given, values_);
    if (kind == compiler::StepKind::means) apply_graph_ = compiler::apply_step(graph, optimizer_);
    for (auto& [name, count] : counts_) {
      if (name != engine::kUpdates || kind == compiler::StepKind::update) engine::advance_count(count);
    }
    return {outputs.at(compiler::kLossSum)[0], static_cast<std::int64_t>(outputs.at(compiler::kCorrect)[0])};
  }

  mutable Gate gate_;  // of all that follows
  Network network_;    // without its state
  std::uint64_t seed_;
  OptimizerOptions optimizer_;
  LossOptions loss_;
  engine::StateTypes types_;        // of all values, the network's first
  std::size_t network_values_ = 0;  // how many are the network's
  engine::NamedValues values_;      // of f32 state, and gradients
  std::map<std::string, Tensor> counts_;
  std::map<std::string, Tensor> spans_;  // gradients as they were given out
  std::optional<Graph> apply_graph_;
};

}  // namespace

std::unique_ptr<Engine> make_reference_engine(Network network, const EngineOptions& options) {
  return std::make_unique<ReferenceEngine>(std::move(network), options);
}

}  // namespace resnet
