// The average of its state that an engine keeps, for engines that have no way of their own to show it.
#include <map>
#include <string_view>
#include <utility>

#include "compiler/optimizer.h"
#include "engine/checks.h"
#include "resnet/engine.h"

namespace resnet {

void Engine::swap_average() {
  State all = state(StateScope::all);
  std::map<std::string_view, Tensor*> by_name;
  for (auto& [name, tensor] : all) by_name.emplace(name, &tensor);
  bool any = false;
  for (auto& [name, tensor] : all) {
    const auto average = by_name.find(compiler::average_name(name));
    if (average == by_name.end()) continue;
    any = true;
    std::swap(tensor, *average->second);
  }
  engine::check_average(any);
  set_state(all);
}

}  // namespace resnet
