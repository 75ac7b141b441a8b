// Answers in the form that programs read.
#pragma once

#include "base/json.h"
#include "resnet/predict.h"

namespace resnet::train {

/// {"file", "label", "probability", "top": [{"label", "probability"}]}, or {"file", "error"}.
Json json_of(const Prediction& prediction);

}  // namespace resnet::train
