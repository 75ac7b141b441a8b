// What is timed and checked on: images that a network can tell apart, another batch each step.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/bench.h"
#include "resnet/data.h"

namespace resnet::bench {

/// Evaluation needs no graph of training, which some shapes do not allow.
Network network_for(const nn::Module& net, const Shape& images, Work work);

constexpr std::int64_t kBatches = 4;  // in turn

/// Batch `step` of these images [N,C,H,W]: a wave for each class under noise, in [0.125, 0.875], as f32 in
/// either layout.
data::Batch make_batch(const Shape& images, std::int64_t classes, std::int64_t step,
                       ImageLayout layout = ImageLayout::nchw);
/// kBatches of them.
std::vector<data::Batch> make_batches(const Shape& images, std::int64_t classes,
                                      ImageLayout layout = ImageLayout::nchw);

/// The examples of make_batches(), one batch behind the other, rounded to bytes; of one or three channels.
data::Dataset set_of_batches(const Shape& images, std::int64_t classes);

}  // namespace resnet::bench
