#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string>

#include "base/threads.h"
#include "data/augment.h"
#include "data/cache.h"
#include "data/placed.h"
#include "resnet/data.h"

namespace resnet::data {

int LoaderOptions::ahead() const noexcept {
  constexpr int kFew = 3;
  return prefetch > 0 ? prefetch : std::max(kFew, threads);
}

// A ring buffer of batches. Batch b of an epoch goes into slot b % slots; a worker thread takes the next
// batch as soon as its slot is free, the reader takes them in order.
struct Loader::Impl {
  struct Slot {
    Batch batch;
    bool ready = false;  // made, or failed
    std::exception_ptr failure;
  };

  Impl(Dataset set, LoaderOptions chosen)
      : dataset(std::move(set)),
        options(std::move(chosen)),
        augmenter(options.augment, options.seed, dataset.example_shape()) {
    slots.resize(static_cast<std::size_t>(options.ahead()) + 1);
    try {
      workers.start(options.threads, [this](int) { make_batches(); });
    } catch (...) {
      join();
      throw;
    }
  }

  ~Impl() { join(); }

  void join() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    changed.notify_all();
    workers.join();
  }

  void check_workers() const {
    if (!workers.lost()) return;
    throw Error("the threads of this loader are in the process that this one was forked from",
                "make a Loader in the child");
  }

  std::int64_t batches_of(std::int64_t count) const {
    return count / options.batch_size + (!options.drop_last && count % options.batch_size != 0 ? 1 : 0);
  }

  void start(std::vector<std::int64_t> new_order, std::int64_t new_epoch, std::int64_t first_batch) {
    check_workers();
    std::unique_lock lock(mutex);
    end = 0;  // workers begin nothing more of the epoch that is left
    changed.wait(lock, [this] { return making == 0; });
    order = std::move(new_order);
    again = repetitions(order, dataset.size());
    epoch = new_epoch;
    examples = static_cast<std::int64_t>(order.size());
    for (Slot& slot : slots) {
      slot.ready = false;
      slot.failure = nullptr;
    }
    next_to_make = first_batch;
    next_to_read = first_batch;
    reading = false;
    end = batches_of(examples);
    lock.unlock();
    changed.notify_all();
  }

  const Batch* next() {
    check_workers();
    std::unique_lock lock(mutex);
    if (reading) {  // the batch given last is free from now on
      slot_of(next_to_read).ready = false;
      ++next_to_read;
      reading = false;
      changed.notify_all();
    }
    if (next_to_read >= end) return nullptr;
    Slot& slot = slot_of(next_to_read);
    changed.wait(lock, [&] { return slot.ready; });
    if (slot.failure != nullptr) std::rethrow_exception(slot.failure);
    reading = true;
    return is_short(next_to_read) ? &short_batch : &slot.batch;
  }

  Slot& slot_of(std::int64_t batch) { return slots[static_cast<std::size_t>(batch) % slots.size()]; }

  // The last batch of an epoch has a place of its own if it is shorter, so that the others keep their
  // memory from epoch to epoch.
  bool is_short(std::int64_t batch) const { return (batch + 1) * options.batch_size > examples; }

  bool may_make() const {
    return next_to_make < end && next_to_make - next_to_read < static_cast<std::int64_t>(slots.size());
  }

  void make_batches() {
    std::optional<Preprocessor> preprocessor;  // made where its failure can be told
    Image image;
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stop || may_make(); });
      if (stop) return;
      const std::int64_t number = next_to_make++;
      Slot& slot = slot_of(number);
      ++making;
      lock.unlock();
      std::exception_ptr failure;
      try {
        if (!preprocessor) preprocessor.emplace(dataset.preprocessing());
        fill(number, is_short(number) ? short_batch : slot.batch, *preprocessor, image);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      --making;
      if (failure != nullptr) next_to_make = end;  // the reader will not get past it
      slot.failure = std::move(failure);
      slot.ready = true;
      changed.notify_all();
    }
  }

  void fill(std::int64_t number, Batch& batch, Preprocessor& preprocessor, Image& image) const {
    const std::int64_t first = number * options.batch_size;
    const std::int64_t count = std::min(options.batch_size, examples - first);
    const Shape& shape = dataset.example_shape();
    if (batch.size() != count) {
      batch = {};  // its labels come last, by which it is known as made: memory may end on the way
      batch.images = Tensor(options.layout == ImageLayout::nchw ? Shape{count, shape[0], shape[1], shape[2]}
                                                                : Shape{count, shape[1], shape[2], shape[0]});
      batch.layout = options.layout;
      if (augmenter.mixes()) {
        batch.mixed_labels = Tensor(Shape{count}, DType::i32);
        batch.mix = Tensor(Shape{count});
      }
      batch.labels = Tensor(Shape{count}, DType::i32);
    }
    const std::span<float> images = batch.images.values();
    const auto labels = batch.labels.view<std::int32_t>();
    const auto stride = static_cast<std::size_t>(shape.elements());
    const Form form = augmenter.crops_decoded() ? Form::decoded : Form::prepared;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t index = order[static_cast<std::size_t>(first + i)];
      const std::span<float> out = images.subspan(static_cast<std::size_t>(i) * stride, stride);
      const std::int64_t before = again.empty() ? 0 : again[static_cast<std::size_t>(first + i)];
      const Augmenter::Example example{epoch, index, before};
      const Image& picture = picture_of(dataset, index, form, preprocessor, image);
      preprocessor.write(preprocessor.changed(picture, augmenter, example), options.layout, out, augmenter,
                         example);
      labels[i] = dataset.source().label(index);  // the loss refuses what has no class
    }
    if (augmenter.mixes()) augmenter.mix(batch, epoch, number);
  }

  Dataset dataset;
  LoaderOptions options;
  Augmenter augmenter;
  std::vector<Slot> slots;
  Batch short_batch;

  // Written by start() alone, while nothing is being made.
  std::vector<std::int64_t> order;  // of the epoch, indices into the data set
  std::vector<std::int32_t> again;  // how often each was there before; empty: none twice
  std::int64_t examples = 0;        // of the epoch
  std::int64_t epoch = 0;

  std::mutex mutex;  // guards what follows, and all of a slot but its batch
  std::condition_variable changed;
  std::int64_t next_to_make = 0, next_to_read = 0, end = 0;
  int making = 0;
  bool reading = false;
  bool stop = false;
  Threads workers;
};

Loader::Loader(Dataset dataset, LoaderOptions options) {
  const auto check = [](const char* name, std::int64_t value, std::int64_t least, std::int64_t most) {
    if (value >= least && value <= most) return;
    throw ConfigError("loader: " + std::string(name) + " is " + std::to_string(value),
                      "give " + std::to_string(least) + " to " + std::to_string(most));
  };
  constexpr std::int64_t kMostExamples = std::int64_t{1} << 32, kMostBatches = 1 << 16,
                         kMostThreads = 1 << 12;
  check("batch_size", options.batch_size, 1, kMostExamples);
  check("prefetch", options.prefetch, 0, kMostBatches);
  check("threads", options.threads, 1, kMostThreads);
  impl_.reset(new Impl(std::move(dataset), std::move(options)));
}

// In a child of fork() it is left as it is: a condition variable that the parent's threads were waiting for
// would wait for them at its end.
void Loader::End::operator()(Impl* impl) const noexcept {
  if (!impl->workers.lost()) delete impl;
}

Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

std::int64_t Loader::batches() const noexcept {
  return impl_->batches_of(impl_->dataset.size());
}
void Loader::start(const Order& order, std::int64_t epoch, std::int64_t first_batch) {
  impl_->start(order.indices(impl_->dataset.size(), epoch), epoch, std::max<std::int64_t>(0, first_batch));
}
void Loader::start(std::vector<std::int64_t> indices, std::int64_t epoch) {
  for (const std::int64_t index : indices) {
    if (index >= 0 && index < impl_->dataset.size()) continue;
    throw ConfigError("Loader::start: there is no example " + std::to_string(index) + ", " +
                      impl_->dataset.name() + " has " + std::to_string(impl_->dataset.size()));
  }
  impl_->start(std::move(indices), epoch, 0);
}
const Batch* Loader::next() {
  return impl_->next();
}

}  // namespace resnet::data
