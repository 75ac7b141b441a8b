#include "train/batches.h"

#include <algorithm>

namespace resnet::train {

void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size) {
  const Shape& example = train.example_shape();
  for (const std::int64_t batch : {std::min(batch_size, train.size()), train.size() % batch_size}) {
    if (batch > 0) nn::trace(net, {batch, example[0], example[1], example[2]}, Mode::train);
  }
}

int loader_threads(int threads) {
  return std::clamp(threads / 4, 1, 8);
}

}  // namespace resnet::train
