#include "engine/native_state.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/memory.h"
#include "compiler/optimizer.h"
#include "compiler/training.h"
#include "compiler/verify.h"
#include "tensor/nonfinite.h"

namespace resnet::engine {

using graph::Role;

NativeState::NativeState(Network& network, const EngineOptions& options, int threads)
    : types_(types_of(network.state)),
      network_(types_.size()),
      roles_(state_roles(network)),
      arena_(threads) {
  check_network(network);
  weights_ = compiler::weights_of(network.eval);
  if (network.train) weights_.merge(compiler::weights_of(*network.train));
  for (const auto& [name, type] : types_) {
    if (type.dtype != DType::f32) continue;
    const plan::StateLayout::Entry& entry = layout_.add(name, type.shape);
    if (const auto role = roles_.find(name); role != roles_.end() && role->second == Role::buffer)
      statistics_.push_back(&entry);
  }
  for (auto& slot : optimizer_slots(network, options.optimizer)) {
    layout_.add(slot.first, slot.second.shape);
    types_.push_back(std::move(slot));
  }
  const std::set<std::string> parameters = weights_;
  for (const std::string& slot : compiler::slots_of(options.optimizer)) {
    for (const std::string& parameter : parameters) weights_.insert(compiler::slot_name(slot, parameter));
  }
  if (layout_.bytes() > kSmallMemory) require_memory(layout_.bytes(), options.memory, "a network's state");
  arena_.reserve(layout_.bytes(), 0, 0);
  // From here on f32 values live in the arena alone, the others in counts_.
  const State given = std::move(network.state);
  for (const auto& [name, tensor] : given) {
    if (tensor.dtype() != DType::f32) counts_[name] = tensor;
  }
  for (const char* name : {kSteps, kUpdates}) {
    types_.push_back({name, {{}, DType::i64}});
    counts_[name] = Tensor(Shape{}, DType::i64);
  }
  set_values(given);
}

void NativeState::place(const graph::Graph& graph) {
  for (const graph::ValueId id : graph.with_role(Role::buffer)) {
    layout_.add(graph.value(id).name, graph.value(id).type.shape);
  }
}

State NativeState::values(StateScope scope) const {
  State result;
  const std::size_t count = scope == StateScope::network ? network_ : types_.size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [name, type] = types_[i];
    if (const plan::StateLayout::Entry* entry = layout_.find(name)) {
      Tensor value(type.shape);
      state_from_native(order_of(name), type.shape, data(*entry), value.values().data());
      result.emplace_back(name, std::move(value));
    } else {
      result.emplace_back(name, counts_.at(name));
    }
  }
  return result;
}

void NativeState::set_values(const State& given) {
  check_state(types_, given);
  looked_at_ = false;
  arena_.state_has_changed();
  for (const auto& [name, value] : given) {
    if (const plan::StateLayout::Entry* entry = layout_.find(name)) {
      state_to_native(order_of(name), value.view<float>(), data(*entry));
    } else {
      std::memcpy(counts_.at(name).raw(), value.raw(), value.bytes());
    }
  }
}

void NativeState::for_each_average(const std::function<void(float*, float*, std::int64_t)>& visit) const {
  bool any = false;
  for (std::size_t i = 0; i < network_; ++i) {
    const plan::StateLayout::Entry* average = layout_.find(compiler::average_name(types_[i].first));
    if (average == nullptr) continue;
    any = true;
    visit(data(*layout_.find(types_[i].first)), data(*average), average->shape.elements());
  }
  check_average(any);
}

void NativeState::swap_average() {
  for_each_average([](float* value, float* average, std::int64_t elements) {
    std::swap_ranges(value, value + elements, average);
  });
  arena_.state_has_changed();
}

State NativeState::gradient_values() const {
  State result;
  for (std::size_t i = 0; i < network_; ++i) {
    const auto& [name, type] = types_[i];
    const auto role = roles_.find(name);
    if (role == roles_.end() || role->second != Role::parameter) continue;
    Tensor value(type.shape);  // zero where there is no gradient
    if (const plan::StateLayout::Entry* entry = layout_.find(compiler::gradient_name(name))) {
      state_from_native(order_of(name), type.shape, data(*entry), value.values().data());
    }
    result.emplace_back(name, std::move(value));
  }
  return result;
}

std::vector<GradientSpan> NativeState::gradient_spans() {
  std::vector<GradientSpan> result;
  for (const auto& [name, type] : types_) {
    if (const plan::StateLayout::Entry* entry = layout_.find(compiler::gradient_name(name)))
      result.push_back({name, {data(*entry), static_cast<std::size_t>(type.shape.elements())}});
  }
  return result;
}

void NativeState::count_step() {
  for (auto& [name, count] : counts_) {
    if (name != kUpdates) advance_count(count);
  }
}

void NativeState::count_update(bool finite) {
  advance_count(counts_.find(kUpdates)->second);
  finite_ = finite_ && finite;
}

bool NativeState::finite(const plan::StateLayout::Entry& entry) const noexcept {
  return nonfinite_in(data(entry), DType::f32, entry.shape.elements()) == NonFiniteKind::none;
}

bool NativeState::finite() const {
  if (!looked_at_) {
    finite_ = std::ranges::all_of(types_, [&](const auto& value) {
      const plan::StateLayout::Entry* const entry = layout_.find(value.first);
      return entry == nullptr || finite(*entry);
    });
    looked_at_ = true;
  }
  return finite_ && std::ranges::all_of(statistics_, [&](const auto* entry) { return finite(*entry); });
}

}  // namespace resnet::engine
