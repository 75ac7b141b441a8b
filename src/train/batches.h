// What the batches of a run ask of the network and of the loader.
#pragma once

#include <cstdint>

#include "resnet/data.h"
#include "resnet/nn.h"

namespace resnet::train {

/// Throws what tracing the network throws for the batches of an epoch, the last short one included unless it
/// is dropped; ConfigError where that leaves none.
void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size,
                   bool drop_last = false);

/// Threads that make batches beside an engine of so many threads.
int loader_threads(int threads);

}  // namespace resnet::train
