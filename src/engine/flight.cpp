#include "engine/flight.h"

#include <vector>

#include "compiler/training.h"
#include "engine/layout.h"
#include "graph/names.h"

namespace resnet::engine {
namespace {

using device::PictureRecord;

PictureRecord record_of(const data::Placed& placed, const HeldBatch& batch) {
  const auto small = [](std::int64_t v) { return static_cast<std::int32_t>(v); };
  return {.example = small(placed.example),
          .label = placed.label,
          .top = small(placed.cut.top),
          .left = small(placed.cut.left),
          .mirrored = placed.mirrored != batch.mirrored ? 1 : 0,
          .shift = small(batch.shift),
          .zero_top = small(placed.zeros.top),
          .zero_left = small(placed.zeros.left),
          .zero_height = small(placed.zeros.height),
          .zero_width = small(placed.zeros.width)};
}

}  // namespace

void Flight::write_images(const gpu::Executor& executor, const ImageView& images) {
  const plan::Slot& slot = *executor.plan().input(graph::kImages);
  const std::int64_t bytes = gpu::Executor::bytes_of(slot);
  std::byte* const taken = staging.take(bytes);
  images_to_native(images, reinterpret_cast<float*>(taken), 0, images.shape[0]);
  staging.send_beside(executor.data(slot), taken, bytes);
}

void Flight::write_images(const gpu::Executor& executor, const HeldBatch& batch, gpu::Device& device,
                          const gpu::HeldPictures& held) {
  std::vector<PictureRecord> records;
  for (const data::Placed& placed : batch.examples) records.push_back(record_of(placed, batch));
  const std::int64_t bytes = std::ssize(records) * std::int64_t{sizeof(PictureRecord)};
  std::byte* const given = staging.on_device(bytes);
  staging.send(given, records.data(), bytes);
  const plan::Slot* labels = executor.plan().input(compiler::kLabels);
  std::byte* const images = executor.data(*executor.plan().input(graph::kImages));
  held.write(device, reinterpret_cast<const PictureRecord*>(given), std::ssize(records), batch.border,
             reinterpret_cast<float*>(images),
             labels == nullptr ? nullptr : reinterpret_cast<std::int32_t*>(executor.data(*labels)));
}

void Flight::receive_step(const gpu::Executor& executor) {
  const plan::Plan& plan = executor.plan();
  loss_sum = staging.receive<double>(executor.data(*plan.output(compiler::kLossSum)));
  correct = staging.receive<std::int64_t>(executor.data(*plan.output(compiler::kCorrect)));
  receive_mark(executor);
}

void Flight::receive_answer(const gpu::Executor& executor) {
  const plan::Slot& slot = *executor.plan().output(graph::kOutput);
  shape = slot.shape;
  outputs = staging.receive<float>(executor.data(slot), shape.elements());
}

Outcome Flight::outcome() const {
  Outcome outcome;
  if (loss_sum != nullptr) outcome.result = {*loss_sum, *correct};
  outcome.finite = mark == nullptr || *mark == 0;
  if (outputs != nullptr) {
    outcome.outputs = Tensor(shape);
    activation_from_native(shape, outputs, outcome.outputs.values().data(), 0, shape[0]);
  }
  return outcome;
}

}  // namespace resnet::engine
