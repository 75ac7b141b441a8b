// Between modules and engines.
#include <list>
#include <map>
#include <mutex>

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
  for (const auto& [name, tensor] : state) {
    nn::Parameter& parameter = *parameters[name];
    parameter.value = tensor;
    parameter.set = true;
  }
}

Network network_of(const nn::Module& module, const Shape& images) {
  return {nn::trace(module, images, Mode::eval), nn::trace(module, images, Mode::train), state_of(module)};
}

namespace {

// The engines of the last forward() calls, by graph. What they compute depends on the graph and on
// the state that is set before each use.
class ForwardCache {
 public:
  Tensor run(Network network, View<const float> images) {
    const std::string key = graph::to_json(network.eval);
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->first != key) continue;
      entries_.splice(entries_.begin(), entries_, it);
      entries_.front().second->set_state(network.state);
      return entries_.front().second->infer(images);
    }
    entries_.emplace_front(key, make_native_engine(std::move(network)));
    constexpr std::size_t kMost = 4;
    if (entries_.size() > kMost) entries_.pop_back();
    return entries_.front().second->infer(images);
  }

 private:
  std::mutex mutex_;
  std::list<std::pair<std::string, std::unique_ptr<Engine>>> entries_;  // newest first
};

}  // namespace

Tensor forward(nn::Module& module, const Tensor& x, Mode mode) {
  static ForwardCache cache;
  nn::init_unset(module, module.scheme(), 0);
  // In training mode too the running statistics stay as they are: their updates are left out.
  Network network{nn::trace(module, x.shape(), mode).without_updates(), std::nullopt, state_of(module)};
  return cache.run(std::move(network), x.view<float>());
}

}  // namespace resnet
