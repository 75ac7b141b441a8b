// A trained network on a test set: what `eval` and `report` share.
#pragma once

#include <string>

#include "resnet/model_file.h"
#include "resnet/train.h"
#include "settings/settings.h"

namespace resnet::cli {

/// What the run was trained with, where `run` is its folder; else what nobody has set.
settings::Settings settings_of_run(const std::string& run);

/// What an evaluation takes from there, so that its figures are the run's: all but threads and memory, which
/// are this machine's.
settings::Settings settings_to_evaluate(settings::Settings run);

/// The data set with the network's classes, found by their names: of some there may be no example. Throws
/// FormatError where it has another class.
data::Dataset with_classes_of(const Model& model, const data::Dataset& test);

/// With a progress bar. The network comes from `file`: what does not fit in it is the file's error and no
/// flag's.
Evaluation evaluate_model(Model& model, const std::string& file, const data::Dataset& test,
                          const settings::Settings& settings);

}  // namespace resnet::cli
