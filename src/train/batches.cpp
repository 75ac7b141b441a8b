#include "train/batches.h"

#include <algorithm>
#include <string>

namespace resnet::train {

void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size,
                   bool drop_last) {
  const Shape& example = train.example_shape();
  const auto check = [&](std::int64_t batch) {
    nn::trace(net, {batch, example[0], example[1], example[2]}, Mode::train);
  };
  const std::int64_t rest = train.size() % batch_size;
  if (drop_last && train.size() < batch_size) {
    throw ConfigError("FitOptions::drop_last leaves no batch: FitOptions::batch_size is " +
                          std::to_string(batch_size) + ", " + train.name() + " has " +
                          std::to_string(train.size()) + " examples",
                      "give a smaller FitOptions::batch_size");
  }
  check(std::min(batch_size, train.size()));
  if (rest == 0 || drop_last) return;
  try {
    check(rest);
  } catch (const ShapeError& error) {
    throw ShapeError("the last batch has " + std::to_string(rest) + (rest == 1 ? " example" : " examples") +
                         " of " + std::to_string(train.size()) + ": " + error.what(),
                     "FitOptions::drop_last leaves it out; or give another FitOptions::batch_size");
  }
}

int loader_threads(int threads) {
  return std::clamp(threads / 4, 1, 8);
}

}  // namespace resnet::train
