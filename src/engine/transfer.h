// What goes into the memory of a bound plan, and comes out of it.
#pragma once

#include <cstdint>

#include "exec/executor.h"
#include "resnet/image_view.h"

namespace resnet::engine {

/// What dropout draws its numbers from.
struct SeedStep {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
};

void write(const exec::Executor& executor, const plan::Slot& slot, const void* from);
void write_images(const exec::Executor& executor, ThreadPool& pool, const ImageView& images);
/// Does nothing where the plan does not ask for it.
void write_seed(const exec::Executor& executor, const SeedStep& seed_step);

/// Runs a plan of inference on images that fit.
Tensor answer(const exec::Executor& executor, ThreadPool& pool, const ImageView& images,
              const SeedStep& seed_step);

}  // namespace resnet::engine
