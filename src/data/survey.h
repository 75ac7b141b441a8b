// What a data set holds, as a person asks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "resnet/folder.h"

namespace resnet::data {

struct Survey {
  struct Class {
    std::string name;
    std::int64_t train = 0, test = 0, validation = 0;
  };
  struct Range {
    std::int64_t least = 0, median = 0, most = 0;
  };
  std::vector<Class> classes;  // of the training set, in their order, then those that the others alone have
  std::int64_t train = 0, test = 0, validation = 0;
  Range height, width;  // pixels, as stored
  Duplicates twice;
};

/// Reads every picture that is not known without.
Survey survey(const TrainTest& data);

/// The classes of a data set that it has no example of, by their names.
std::vector<std::string> classes_without_examples(const Dataset& dataset);

}  // namespace resnet::data
