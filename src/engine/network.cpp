// Between modules and engines.
#include <cstring>
#include <map>

#include "engine/gate.h"
#include "resnet/engine.h"

namespace resnet {

State state_of(const nn::Module& module) {
  State state;
  nn::for_each_parameter(module, [&](const std::string& name, const nn::Parameter& parameter) {
    if (!parameter.set)
      throw ConfigError("parameter '" + name + "' is not set", "call nn::init or load weights first");
    state.emplace_back(name, parameter.value);
  });
  return state;
}

void set_state(nn::Module& module, const State& state) {
  std::map<std::string, nn::Parameter*> parameters;
  nn::for_each_parameter(
      module, [&](const std::string& name, nn::Parameter& parameter) { parameters[name] = &parameter; });
  for (const auto& [name, tensor] : state) {
    const auto found = parameters.find(name);
    if (found == parameters.end()) throw ShapeError("the network has no parameter '" + name + "'");
    const bool count = found->second->kind == nn::ParameterKind::batches_tracked;
    const DType dtype = count ? DType::i64 : DType::f32;
    if (!(found->second->shape == tensor.shape()) || tensor.dtype() != dtype) {
      throw ShapeError("'" + name + "': expected " + std::string(name_of(dtype)) + " " +
                       to_string(found->second->shape) + ", got " + std::string(name_of(tensor.dtype())) +
                       " " + to_string(tensor.shape()));
    }
  }
  // All room first: where there is not enough, nothing changes.
  std::vector<Tensor> fresh(state.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state[i];
    const Tensor& value = parameters[name]->value;
    if (value.raw() == nullptr || value.bytes() != tensor.bytes() || value.dtype() != tensor.dtype())
      fresh[i] = tensor;
  }
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state[i];
    nn::Parameter& parameter = *parameters[name];
    if (!fresh[i].empty()) {
      parameter.value = std::move(fresh[i]);
    } else if (tensor.bytes() > 0) {
      std::memcpy(parameter.value.raw(), tensor.raw(), tensor.bytes());
    }
    parameter.set = true;
  }
}

Network network_of(const nn::Module& module, const Shape& images) {
  return {nn::trace(module, images, Mode::eval), nn::trace(module, images, Mode::train), state_of(module)};
}

struct Forward::Kept {
  engine::Gate gate;  // of the others
  Shape shape{0};     // that the engine was made for
  std::unique_ptr<Engine> engine;
};

Forward::Forward(nn::Module& module, Mode mode, EngineOptions options)
    : module_(&module), mode_(mode), options_(std::move(options)), kept_(std::make_unique<Kept>()) {}

Forward::~Forward() = default;
Forward::Forward(Forward&&) noexcept = default;
Forward& Forward::operator=(Forward&&) noexcept = default;

Tensor Forward::operator()(const Tensor& x) {
  const engine::Gate::Pass pass = kept_->gate.read();
  nn::init_unset(*module_, module_->scheme(), 0);
  State state = state_of(*module_);
  if (kept_->engine != nullptr && kept_->shape == x.shape()) {
    kept_->engine->set_state(state);
  } else {
    // In training mode too the running statistics stay as they are: their updates are left out.
    kept_->engine = make_engine(
        {nn::trace(*module_, x.shape(), mode_).without_updates(), std::nullopt, std::move(state)}, options_);
    kept_->shape = x.shape();
  }
  return kept_->engine->infer(x.view<float>());
}

Tensor forward(nn::Module& module, const Tensor& x, Mode mode) {
  return Forward(module, mode)(x);
}

}  // namespace resnet
