// The average of its state that an engine keeps, for engines that have no way of their own to show it.
#include <utility>

#include "base/named.h"
#include "compiler/optimizer.h"
#include "engine/checks.h"
#include "resnet/engine.h"

namespace resnet {

void Engine::swap_average() {
  State all = state(StateScope::all);
  bool any = false;
  for (auto& [name, tensor] : all) {
    Tensor* const average = find_named(all, compiler::average_name(name));
    if (average == nullptr) continue;
    any = true;
    std::swap(tensor, *average);
  }
  engine::check_average(any);
  set_state(all);
}

}  // namespace resnet
