#include "bench/batches.h"

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "base/machine.h"
#include "base/random.h"
#include "data/byte_images.h"
#include "tensor/thread_pool.h"

namespace resnet::bench {
namespace {

std::int64_t label_of(std::int64_t n, std::int64_t step, std::int64_t classes) {
  return (n + step) % classes;
}

// Calls write(place in the layout, value) for every pixel of a batch, in several threads: 3x224x224 pixels
// of 256 images take a second of one thread.
template <class Write>
void draw(const Shape& images, std::int64_t classes, std::int64_t step, ImageLayout layout,
          const Write& write) {
  const RandomStream noise(static_cast<std::uint64_t>(step), "bench/noise");
  const std::int64_t example = images.elements() / images[0], map = images[2] * images[3];
  ThreadPool pool(default_threads());
  pool.parallel_for(images[0], [&](std::int64_t n, int) {
    const double frequency = 0.01 * static_cast<double>(label_of(n, step, classes) + 1);
    std::array<std::uint32_t, 4> words{};
    for (std::int64_t i = 0; i < example; ++i) {
      const auto at = static_cast<std::uint64_t>(n * example + i);
      if (i == 0 || at % 4 == 0) words = noise.block(at / 4);
      const float share = static_cast<float>(words[at % 4] >> 8U) * 0x1p-24F;
      const double wave = std::sin(static_cast<double>(i) * frequency);
      const std::int64_t place = layout == ImageLayout::nchw ? i : i % map * images[1] + i / map;
      write(n * example + place, 0.5F + 0.25F * static_cast<float>(wave) + 0.25F * (share - 0.5F));
    }
  });
}

}  // namespace

Network network_for(const nn::Module& net, const Shape& images, Work work) {
  if (work == Work::train) return network_of(net, images);
  return {nn::trace(net, images, Mode::eval), std::nullopt, state_of(net)};
}

data::Batch make_batch(const Shape& images, std::int64_t classes, std::int64_t step, ImageLayout layout) {
  data::Batch batch;
  batch.layout = layout;
  batch.images =
      Tensor(layout == ImageLayout::nchw ? images : Shape{images[0], images[2], images[3], images[1]});
  batch.labels = Tensor(Shape{images[0]}, DType::i32);
  auto labels = batch.labels.view<std::int32_t>();
  for (std::int64_t n = 0; n < images[0]; ++n)
    labels[n] = static_cast<std::int32_t>(label_of(n, step, classes));
  const auto pixels = batch.images.values();
  draw(images, classes, step, layout,
       [&](std::int64_t place, float value) { pixels[static_cast<std::size_t>(place)] = value; });
  return batch;
}

std::vector<data::Batch> make_batches(const Shape& images, std::int64_t classes, ImageLayout layout) {
  std::vector<data::Batch> batches;
  for (std::int64_t step = 0; step < kBatches; ++step)
    batches.push_back(make_batch(images, classes, step, layout));
  return batches;
}

data::Dataset set_of_batches(const Shape& images, std::int64_t classes) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kBatches * images.elements()));
  std::vector<std::int32_t> labels;
  for (std::int64_t step = 0; step < kBatches; ++step) {
    std::uint8_t* const batch = pixels.data() + step * images.elements();
    draw(images, classes, step, ImageLayout::nhwc, [&](std::int64_t place, float value) {
      batch[place] = static_cast<std::uint8_t>(std::lround(value * 255));
    });
    for (std::int64_t n = 0; n < images[0]; ++n)
      labels.push_back(static_cast<std::int32_t>(label_of(n, step, classes)));
  }
  std::vector<std::string> names;
  for (std::int64_t k = 0; k < classes; ++k) names.push_back(std::to_string(k));
  return {std::make_shared<data::ByteImages>(images[2], images[3], images[1], std::move(pixels),
                                             std::move(labels)),
          "bench", std::move(names), data::Preprocessing{.channels = images[1]},
          Shape{images[1], images[2], images[3]}};
}

}  // namespace resnet::bench
