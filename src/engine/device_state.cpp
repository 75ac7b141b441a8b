#include "engine/device_state.h"

#include <algorithm>

namespace resnet::engine {

void DeviceState::pull() const {
  if (mirrored_ || !is_on_device()) return;
  device_.copy(mirror_.arena().state(), arena_.state(), mirrored_bytes_);
  device_.synchronize();
  mirrored_ = true;
}

void DeviceState::push() {
  if (!is_on_device()) return;
  device_.copy(arena_.state(), mirror_.arena().state(), mirrored_bytes_);
  device_.synchronize();
  mirrored_ = true;
}

bool DeviceState::reserve(std::int64_t work_bytes) {
  const std::int64_t state = mirror_.layout().bytes();
  pull();
  mirror_.arena().reserve(state, 0, 0);
  const bool first = !is_on_device();  // the last try may have had room for the state alone
  if (!arena_.reserve(state, work_bytes) && !first) return false;
  mirrored_bytes_ = state;
  if (first) push();
  return true;
}

State DeviceState::values(StateScope scope) const {
  pull();
  return mirror_.values(scope);
}

void DeviceState::set_values(const State& given) {
  pull();
  mirror_.set_values(given);
  push();
  arena_.state_has_changed();
}

// By way of the memory for work, which is free between two calls; where there is none, by way of the mirror.
void DeviceState::swap_average() {
  if (!is_on_device() || arena_.work_bytes() == 0) {
    pull();
    mirror_.swap_average();
    push();
    return arena_.state_has_changed();
  }
  mirror_.for_each_average([&](const float* value, const float* average, std::int64_t elements) {
    const std::int64_t bytes = elements * std::int64_t{sizeof(float)};
    for (std::int64_t at = 0; at < bytes; at += arena_.work_bytes()) {
      const std::int64_t part = std::min(bytes - at, arena_.work_bytes());
      device_.copy(arena_.work(), on_device(value) + at, part);
      device_.copy(on_device(value) + at, on_device(average) + at, part);
      device_.copy(on_device(average) + at, arena_.work(), part);
    }
  });
  device_.synchronize();
  changes();
  arena_.state_has_changed();
}

State DeviceState::gradient_values() const {
  pull();
  return mirror_.gradient_values();
}

std::vector<GradientSpan> DeviceState::gradient_spans() {
  pull();
  spans_are_given_ = true;
  return mirror_.gradient_spans();
}

void DeviceState::take_spans() {
  if (!spans_are_given_) return;
  for (const GradientSpan& span : mirror_.gradient_spans()) {
    device_.copy(on_device(span.values.data()), span.values.data(),
                 static_cast<std::int64_t>(span.values.size_bytes()));
  }
  device_.synchronize();
}

}  // namespace resnet::engine
