// What goes into the memory of a bound plan, and comes out of it.
#pragma once

#include <cstddef>
#include <cstring>

#include "engine/step_inputs.h"
#include "exec/executor.h"
#include "resnet/image_view.h"

namespace resnet::engine {

/// Fills an input, as the functions of step_inputs.h ask for it.
inline auto writer_of(const exec::Executor& executor) {
  return [&executor](const plan::Slot& slot, const void* from) {
    std::memcpy(executor.data(slot), from,
                static_cast<std::size_t>(slot.shape.elements()) * size_of(slot.dtype));
  };
}
void write_images(const exec::Executor& executor, ThreadPool& pool, const ImageView& images);

/// Runs a plan of inference on images that fit.
Tensor answer(const exec::Executor& executor, ThreadPool& pool, const ImageView& images,
              const SeedStep& seed_step);

}  // namespace resnet::engine
