#include "engine/transfer.h"

#include "engine/layout.h"
#include "graph/names.h"

namespace resnet::engine {

void write_images(const exec::Executor& executor, ThreadPool& pool, const ImageView& images) {
  const plan::Slot& slot = *executor.plan().input(graph::kImages);
  auto* to = reinterpret_cast<float*>(executor.data(slot));
  pool.parallel_for(images.shape[0], [&](std::int64_t n, int) { images_to_native(images, to, n, n + 1); });
}

Tensor answer(const exec::Executor& executor, ThreadPool& pool, const ImageView& images,
              const SeedStep& seed_step) {
  write_images(executor, pool, images);
  write_seed(executor.plan(), seed_step, writer_of(executor));
  executor.run(pool);
  const plan::Slot& slot = *executor.plan().output(graph::kOutput);
  Tensor result(slot.shape);
  const auto* from = reinterpret_cast<const float*>(executor.data(slot));
  float* to = result.values().data();
  pool.parallel_for(slot.shape[0],
                    [&](std::int64_t n, int) { activation_from_native(slot.shape, from, to, n, n + 1); });
  return result;
}

}  // namespace resnet::engine
