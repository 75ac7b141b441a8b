// What both engines check and share about state and labels.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/names.h"
#include "resnet/engine.h"

namespace resnet::engine {

/// The states that count training steps and updates.
inline constexpr const char* kSteps = "engine/steps";
inline constexpr const char* kUpdates = "engine/updates";
static_assert(std::string_view(kSteps).starts_with(graph::kEngineState) &&
              std::string_view(kUpdates).starts_with(graph::kEngineState));

/// Roles of the f32 state values, by name.
std::map<std::string, graph::Role> state_roles(const Network& network);

/// Both graphs must be what engines take for granted (compiler/verify.h), and every state value of theirs
/// must be in the network's state, with its shape. Throws FormatError, ShapeError.
void check_network(const Network& network);
/// Throws ConfigError where gradients() has not been called.
void check_gradients(bool called);

/// The graph for images of this shape, verified.
graph::Graph reshaped(const graph::Graph& graph, const Shape& images);

/// Names and types of a state's values, in its order.
using StateTypes = std::vector<std::pair<std::string, graph::ValueType>>;
StateTypes types_of(const State& state);

/// The slots that the optimiser has for a network; none where it cannot be trained. Throws ConfigError for
/// options that do not fit.
StateTypes optimizer_slots(const Network& network, const OptimizerOptions& optimizer);

/// Every value of `given` must exist in `have` with its shape and dtype; what is f32 there may be `floats`
/// too. Throws ShapeError.
void check_state(const StateTypes& have, const State& given, DType floats = DType::f32);

/// Labels must be one per image and within [0, classes), weights of mixed ones within [0, 1]. Throws
/// ShapeError.
void check_targets(const Targets& targets, std::int64_t examples, std::int64_t classes);

/// Throws ConfigError unless `kept`: there is no average to show.
void check_average(bool kept);
/// As Engine::gradients(), where `any` says whether there are gradients. Throws ConfigError.
void check_share(float share, bool any);

/// The first of these that is not finite: a pixel, or a value before a step. The first of a state's values.
std::optional<NonFinite> nonfinite_before(const State& state, const ImageView& images);
std::optional<NonFinite> nonfinite_value(const State& state, NonFinite::Place place);

/// Adds one to a count of steps or tracked batches (i64 scalar; others stay).
void advance_count(Tensor& count);

}  // namespace resnet::engine
