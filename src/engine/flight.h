// One piece of work of the engine of GPUs between its asking and its end: what it was given and what it
// brings.
#pragma once

#include <cstdint>

#include "engine/ahead.h"
#include "gpu/executor.h"
#include "gpu/pictures.h"
#include "gpu/staging.h"

namespace resnet::engine {

struct Flight {
  explicit Flight(gpu::Device& device) : staging(device) {}

  void begin() {
    staging.begin();
    loss_sum = nullptr;
    correct = nullptr;
    mark = nullptr;
    outputs = nullptr;
  }
  /// Fills an input of the plan, from as many bytes as it has.
  auto writer(const gpu::Executor& executor) {
    return [this, &executor](const plan::Slot& slot, const void* from) {
      staging.send(executor.data(slot), from, gpu::Executor::bytes_of(slot));
    };
  }
  /// The plan's images; of a set that is held with the labels, where the plan has some.
  void write_images(const gpu::Executor& executor, const ImageView& images);
  void write_images(const gpu::Executor& executor, const HeldBatch& batch, gpu::Device& device,
                    const gpu::HeldPictures& held);

  /// Asks for what comes of a step, or of an answer.
  void receive_step(const gpu::Executor& executor);
  void receive_mark(const gpu::Executor& executor) { mark = staging.receive<std::int32_t>(executor.mark()); }
  void receive_answer(const gpu::Executor& executor);
  /// What was received, once staging.wait() is over.
  Outcome outcome() const;

  gpu::Staging staging;

 private:
  const double* loss_sum = nullptr;  // of a step
  const std::int64_t* correct = nullptr;
  const std::int32_t* mark = nullptr;  // of what is not finite
  const float* outputs = nullptr;      // of an answer
  Shape shape = {};                    // of the outputs
};

}  // namespace resnet::engine
