// The average of its state that an engine keeps, for engines that have no way of their own to show it.
#include <algorithm>
#include <utility>

#include "compiler/optimizer.h"
#include "engine/checks.h"
#include "resnet/engine.h"

namespace resnet {

void Engine::swap_average() {
  State all = state(StateScope::all);
  bool any = false;
  for (auto& [name, tensor] : all) {
    const auto average = std::ranges::find(all, compiler::average_name(name), &State::value_type::first);
    if (average == all.end()) continue;
    any = true;
    std::swap(tensor, average->second);
  }
  engine::check_average(any);
  set_state(all);
}

}  // namespace resnet
