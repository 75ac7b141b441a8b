#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "data/preprocess.h"
#include "resnet/data.h"

namespace resnet::data {

// A ring of batches. Batch b of an epoch goes into slot b % slots; a maker takes the next number as
// soon as its slot is free, the reader takes them in order.
struct Loader::Impl {
  struct Slot {
    Batch batch;
    bool ready = false;
  };

  Impl(Dataset set, LoaderOptions chosen) : dataset(std::move(set)), options(chosen) {
    slots.resize(static_cast<std::size_t>(std::max(1, options.prefetch)) + 1);
    for (int i = 0; i < std::max(1, options.threads); ++i) {
      makers.emplace_back([this] { make_batches(); });
    }
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    for (std::thread& maker : makers) maker.join();
  }

  std::int64_t batches() const { return (dataset.size() + options.batch_size - 1) / options.batch_size; }

  void start(std::vector<std::int64_t> new_order) {
    std::unique_lock lock(mutex);
    end = 0;  // makers begin nothing more of the epoch that is left
    changed.wait(lock, [this] { return making == 0; });
    order = std::move(new_order);
    for (Slot& slot : slots) slot.ready = false;
    failure = nullptr;
    next_to_make = 0;
    next_to_read = 0;
    reading = false;
    end = batches();
    lock.unlock();
    changed.notify_all();
  }

  const Batch* next() {
    std::unique_lock lock(mutex);
    if (reading) {  // the batch given last is free from now on
      slot_of(next_to_read).ready = false;
      ++next_to_read;
      reading = false;
      changed.notify_all();
    }
    if (next_to_read >= end) return nullptr;
    Slot& slot = slot_of(next_to_read);
    changed.wait(lock, [&] { return slot.ready || failure != nullptr; });
    if (!slot.ready) std::rethrow_exception(failure);
    reading = true;
    return &slot.batch;
  }

  Slot& slot_of(std::int64_t batch) { return slots[static_cast<std::size_t>(batch) % slots.size()]; }

  bool may_make() const {
    return failure == nullptr && next_to_make < end &&
           next_to_make - next_to_read < static_cast<std::int64_t>(slots.size());
  }

  void make_batches() {
    Preprocessor preprocessor(dataset.preprocessing());
    Image image;
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stop || may_make(); });
      if (stop) return;
      const std::int64_t number = next_to_make++;
      ++making;
      lock.unlock();
      std::exception_ptr error;
      try {
        fill(number, slot_of(number).batch, preprocessor, image);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      --making;
      if (error != nullptr && failure == nullptr) failure = error;
      slot_of(number).ready = error == nullptr;
      changed.notify_all();
    }
  }

  void fill(std::int64_t number, Batch& batch, Preprocessor& preprocessor, Image& image) const {
    const std::int64_t first = number * options.batch_size;
    const std::int64_t count = std::min(options.batch_size, dataset.size() - first);
    const Shape& example = dataset.example_shape();
    if (batch.size() != count) {
      batch.images = Tensor(Shape{count, example[0], example[1], example[2]});
      batch.labels = Tensor(Shape{count}, DType::i32);
    }
    const std::span<float> images = batch.images.values();
    const auto labels = batch.labels.view<std::int32_t>();
    const auto stride = static_cast<std::size_t>(example.elements());
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t index = order.empty() ? first + i : order[static_cast<std::size_t>(first + i)];
      dataset.source().image(index, image);
      preprocessor.run(image, images.subspan(static_cast<std::size_t>(i) * stride, stride));
      labels[i] = dataset.label(index);
    }
  }

  Dataset dataset;
  LoaderOptions options;
  std::vector<Slot> slots;
  std::vector<std::int64_t> order;

  std::mutex mutex;  // guards what follows, and `ready` of the slots
  std::condition_variable changed;
  std::int64_t next_to_make = 0, next_to_read = 0, end = 0;
  int making = 0;
  bool reading = false;
  bool stop = false;
  std::exception_ptr failure;
  std::vector<std::thread> makers;
};

Loader::Loader(Dataset dataset, LoaderOptions options) {
  if (options.batch_size < 1) throw ConfigError("a batch must hold at least 1 example");
  impl_ = std::make_unique<Impl>(std::move(dataset), options);
}

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

std::int64_t Loader::batches() const noexcept {
  return impl_->batches();
}
void Loader::start(std::vector<std::int64_t> order) {
  impl_->start(std::move(order));
}
const Batch* Loader::next() {
  return impl_->next();
}

}  // namespace resnet::data
