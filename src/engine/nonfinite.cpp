// What every engine can say of numbers that are not finite.
#include "tensor/nonfinite.h"

#include <fmt/core.h>

#include <cmath>

#include "engine/checks.h"
#include "resnet/engine.h"

namespace resnet {

std::string to_string(const NonFinite& found) {
  const std::string number = found.nan ? "is not a number (NaN)" : "is infinite";
  const std::string name =
      found.operation.empty() ? found.name : fmt::format("{} ({})", found.name, found.operation);
  switch (found.place) {
    case NonFinite::Place::images:
      return "a pixel of the batch " + number;
    case NonFinite::Place::state:
      return fmt::format("{} {} before the step", name, number);
    case NonFinite::Place::output:
      return fmt::format("the output of {} {}", name, number);
    case NonFinite::Place::gradient:
      return fmt::format("a gradient in {} {}", name, number);
    case NonFinite::Place::update:
      return fmt::format("the update of {} {}", name, number);
  }
  return {};
}

namespace engine {

std::optional<NonFinite> nonfinite_before(const State& state, const ImageView& images) {
  using Place = NonFinite::Place;
  if (const NonFiniteKind kind = nonfinite_in(images.data, DType::f32, images.shape.elements());
      kind != NonFiniteKind::none)
    return NonFinite{Place::images, "images", {}, kind == NonFiniteKind::nan};
  return nonfinite_value(state, Place::state);
}

std::optional<NonFinite> nonfinite_value(const State& state, NonFinite::Place place) {
  for (const auto& [name, value] : state) {
    if (const NonFiniteKind kind = nonfinite_in(value); kind != NonFiniteKind::none)
      return NonFinite{place, name, {}, kind == NonFiniteKind::nan};
  }
  return std::nullopt;
}

}  // namespace engine

bool Engine::finite() const {
  return !engine::nonfinite_value(state(StateScope::all), NonFinite::Place::state);
}

std::optional<NonFinite> Engine::find_nonfinite(const ImageView& images, const Targets& targets,
                                                const StepInputs& inputs) {
  if (auto found = engine::nonfinite_before(state(StateScope::all), images)) return found;
  const StepResult result = step(images, targets, inputs);
  if (!std::isfinite(result.loss_sum))
    return NonFinite{NonFinite::Place::output, "loss", {}, std::isnan(result.loss_sum)};
  return engine::nonfinite_value(state(StateScope::all), NonFinite::Place::update);
}

}  // namespace resnet
