// What a run has to share with an earlier one: with that which goes on, or whose settings it has.
#pragma once

#include <string>
#include <vector>

#include "cli/training.h"

namespace resnet::cli {

/// Whether `sets` has the examples of run.earlier. Another seed or share than that one's may split them
/// otherwise. Throws as opening them.
bool has_known_data(const Training& run, const data::TrainTest& sets);

/// The names of all options but those that a run which goes on may have otherwise, and `others`.
std::vector<std::string> options_but_those_that_may_change(const std::vector<std::string>& others = {});

/// Throws ConfigError where an option of these names is not what it was in the run, or the seeds' runs, that goes
/// on.
void check_unchanged(const Training& run, const std::vector<std::string>& names);

/// A run that goes on may become longer, not shorter, and more epochs make none longer that a time or a number
/// of steps ends: throws ConfigError.
void check_longer(const Training& run, const data::Dataset& training);

}  // namespace resnet::cli
