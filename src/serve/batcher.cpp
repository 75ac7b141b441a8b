#include "serve/batcher.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/machine.h"
#include "base/memory.h"
#include "data/preprocess.h"
#include "resnet/images.h"
#include "train/prediction.h"

namespace resnet::serve {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Where there is no memory for the reason either, that is the reason: it needs none. `file` is named as predict()
// names it; "-" stands for a body as such.
Prediction without_answer(const char* why, std::string_view file = "-") noexcept {
  Prediction prediction;
  try {
    if (file != "-") prediction.error.append(file).append(": ");
    prediction.error += why;
  } catch (const std::bad_alloc&) {
    prediction.error = "out of memory";
  }
  return prediction;
}

// The largest power of two up to `count`.
std::int64_t batch_of(std::int64_t count) {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(count)));
}

}  // namespace

Batcher::Batcher(Model& model, const ServeOptions& options, Metrics& metrics, Done done)
    : options_(options),
      metrics_(metrics),
      done_(std::move(done)),
      model_(model),
      most_(data::fixed_shape(model.preprocessing()) ? options.batch_size : 1) {
  warm_up();
  const int threads = model_.engine().device().threads;
  const int classifiers = std::max(1, usable_cores() / threads);
  batches_.resize(static_cast<std::size_t>(classifiers));
  for (std::vector<Picture>& batch : batches_) batch.reserve(static_cast<std::size_t>(most_));
  try {
    decoders_.start(options_.threads > 0 ? options_.threads : threads, [this](int) { decode(); });
    classifiers_.start(classifiers, [this](int n) { classify(batches_[static_cast<std::size_t>(n)]); });
  } catch (...) {
    stop();
    throw;
  }
}

Batcher::~Batcher() {
  stop();
}

void Batcher::stop() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  files_changed_.notify_all();
  pictures_changed_.notify_all();
  room_made_.notify_all();
  decoders_.join();
  classifiers_.join();
}

// The first requests shall not wait until plans are compiled; and what is no classifier is told now.
void Batcher::warm_up() {
  const data::Image image{64, 64, 3, std::vector<std::uint8_t>(std::size_t{64} * 64 * 3)};
  const Shape shape = data::preprocessed_shape(model_.preprocessing(), image.height, image.width);
  Tensor input(Shape{1, shape[1], shape[2], shape[0]});
  data::preprocess(model_.preprocessing(), image, input.values(), ImageLayout::nhwc);
  const auto answer = [&](const Tensor& batch) {
    return infer(model_.engine(), ImageView::nhwc(batch.view<float>()), options_.views);
  };
  const Tensor logits = answer(input);
  static_cast<void>(model_.top_of(logits, 0, 1));
  classes_ = logits.shape()[1];
  for (std::int64_t size = most_; size > 1; size = batch_of(size - 1))
    answer(Tensor(Shape{size, shape[1], shape[2], shape[0]}));
}

void Batcher::add(const std::shared_ptr<Ask>& ask) {
  ask->left = ask->files.size();
  ask->answers.resize(ask->left);
  std::vector<File> files;
  for (std::size_t i = 0; i < ask->left; ++i) {
    ask->answers[i].file = ask->files[i].file;
    files.push_back({ask, i});
  }
  {
    const std::scoped_lock lock(mutex_);
    files_.insert(files_.end(), files.begin(), files.end());  // all of them or none, if memory ends here
    waiting_ += std::ssize(files);
  }
  files_changed_.notify_all();
}

std::int64_t Batcher::waiting() const {
  const std::scoped_lock lock(mutex_);
  return waiting_;
}

std::optional<Batcher::File> Batcher::next_file() {
  std::unique_lock lock(mutex_);
  files_changed_.wait(lock, [&] { return stop_ || !files_.empty(); });
  if (stop_) return std::nullopt;
  File file = std::move(files_.front());
  files_.pop_front();
  return file;
}

Batcher::Picture Batcher::decoded(File file, std::optional<data::Preprocessor>& preprocessor) const {
  const data::Preprocessing& preprocessing = model_.preprocessing();
  if (!preprocessor) preprocessor.emplace(preprocessing);
  const data::Image image =
      images::decode(bytes_of(file.ask->files[file.number].content), {}, data::draft_of(preprocessing));
  const Shape shape = data::preprocessed_shape(preprocessing, image.height, image.width);
  Picture picture{std::move(file), Tensor(Shape{1, shape[1], shape[2], shape[0]})};
  preprocessor->write(preprocessor->changed(image), ImageLayout::nhwc, picture.input.values());
  return picture;
}

void Batcher::hand_over(Picture picture) {
  std::unique_lock lock(mutex_);
  room_made_.wait(lock, [&] { return stop_ || std::ssize(pictures_) < 2 * most_; });
  if (stop_) return;
  pictures_.push_back(std::move(picture));
  lock.unlock();
  pictures_changed_.notify_one();
}

void Batcher::decode() {
  std::optional<data::Preprocessor> preprocessor;
  while (const std::optional<File> file = next_file()) {
    if (file->ask->abandoned) {
      finish(*file, without_answer("nobody waits for it"));
      continue;
    }
    try {
      hand_over(decoded(*file, preprocessor));
    } catch (const MemoryError& error) {
      finish(*file, without_answer(error.what()), true);
    } catch (const Error& error) {
      metrics_.count_bad_picture();
      finish(*file, without_answer(error.what(), file->ask->files[file->number].file));
    } catch (const std::exception& error) {
      finish(*file, without_answer(reason(error)), true);
    }
  }
}

// What is there, as far as it makes a batch; false at the end.
bool Batcher::next_pictures(std::vector<Picture>& pictures) {
  pictures.clear();
  std::unique_lock lock(mutex_);
  pictures_changed_.wait(lock, [&] { return stop_ || !pictures_.empty(); });
  if (stop_) return false;
  const std::int64_t there = std::ssize(pictures_), size = there >= most_ ? most_ : batch_of(there);
  for (std::int64_t i = 0; i < size; ++i) {
    pictures.push_back(std::move(pictures_.front()));
    pictures_.pop_front();
  }
  lock.unlock();
  room_made_.notify_all();
  return true;
}

void Batcher::classify(std::vector<Picture>& pictures) {
  while (next_pictures(pictures)) {
    try {
      answer(pictures);
    } catch (const std::exception& error) {
      for (const Picture& picture : pictures) finish(picture.of, without_answer(reason(error)), true);
    }
  }
}

void Batcher::answer(const std::vector<Picture>& pictures) {
  const Tensor logits = train::outputs_of(model_, pictures, options_.views, &Picture::input);
  metrics_.count_pictures(std::ssize(pictures));
  for (std::size_t n = 0; n < pictures.size(); ++n) {
    try {  // one whose output is not finite is the only one
      finish(pictures[n].of,
             {{}, {}, model_.top_of(logits, static_cast<std::int64_t>(n), pictures[n].of.ask->top)});
    } catch (const std::exception& error) {
      finish(pictures[n].of, without_answer(reason(error)), true);
    }
  }
}

void Batcher::finish(const File& file, Prediction prediction, bool failed) noexcept {
  Ask& ask = *file.ask;
  {
    const std::scoped_lock lock(mutex_);
    Prediction& answer = ask.answers[file.number];
    answer.error = std::move(prediction.error);
    answer.top = std::move(prediction.top);
    ask.failed = ask.failed || failed;
    --waiting_;
    if (--ask.left > 0) return;
  }
  done_(file.ask);
}

}  // namespace resnet::serve
