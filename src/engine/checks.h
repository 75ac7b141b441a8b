// What both engines check and share about state and labels.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "resnet/engine.h"

namespace resnet::engine {

/// Roles of the f32 state values, by name.
std::map<std::string, graph::Role> state_roles(const Network& network);

/// Every state value of the graphs must be in the network's state, with its shape. Throws ShapeError.
void check_state_names(const Network& network);

/// Names and types of a state's values, in its order.
using StateTypes = std::vector<std::pair<std::string, graph::ValueType>>;
StateTypes types_of(const State& state);

/// Every value of `given` must exist in `have` with its shape and dtype. Throws ShapeError.
void check_state(const StateTypes& have, const State& given);

/// Labels must be one per image and within [0, classes). Throws ShapeError.
void check_labels(View<const std::int32_t> labels, const Shape& expected, std::int64_t classes);

/// Adds the training steps to a count of tracked batches (i64 scalar).
void advance_count(Tensor& count, std::int64_t steps);

}  // namespace resnet::engine
