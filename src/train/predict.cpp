#include "resnet/predict.h"

#include <algorithm>
#include <bit>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "data/preprocess.h"
#include "resnet/images.h"
#include "tensor/thread_pool.h"
#include "train/batches.h"
#include "train/prediction.h"

namespace resnet {
namespace {

// Files as a data set without labels. A file that is no picture becomes a black pixel and a note: the others
// of its batch have their answers.
class Files final : public data::Dataset::Source {
 public:
  Files(std::span<const std::filesystem::path> files, data::Preprocessing preprocessing)
      : files_(files), preprocessing_(std::move(preprocessing)), errors_(files.size()) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  std::int32_t label(std::int64_t) const override { return 0; }
  void image(std::int64_t i, data::Image& out) const override {
    std::string& error = errors_[static_cast<std::size_t>(i)];
    const std::filesystem::path& file = files_[static_cast<std::size_t>(i)];
    try {
      out = images::read(file, {}, data::draft_of(preprocessing_));
      static_cast<void>(data::preprocessed_shape(preprocessing_, out.height, out.width));
      return;
    } catch (const ShapeError& why) {
      error = file.string() + ": " + why.what();
    } catch (const Error& why) {  // it names the file
      error = why.what();
    }
    out = {1, 1, 3, {0, 0, 0}};
  }
  const std::filesystem::path& path(std::int64_t i) const { return files_[static_cast<std::size_t>(i)]; }
  const std::string& error(std::int64_t i) const { return errors_[static_cast<std::size_t>(i)]; }

 private:
  std::span<const std::filesystem::path> files_;
  data::Preprocessing preprocessing_;
  mutable std::vector<std::string> errors_;  // each written by the one thread that reads its file, before
                                             // the batch is handed over
};

// Of a picture as the network sees it. One that cannot be made so, as a strip of 1x300 pixels, is at fault,
// and not the network.
Shape example_of(const data::Preprocessing& preprocessing, const data::Image& image) {
  try {
    return data::preprocessed_shape(preprocessing, image.height, image.width);
  } catch (const ShapeError& error) {
    throw FormatError(error.what(), error.hint());
  }
}

// [1,H,W,C], as the network sees it.
Tensor prepared(const data::Preprocessing& preprocessing, const data::Image& image) {
  const Shape shape = example_of(preprocessing, image);
  Tensor input(Shape{1, shape[1], shape[2], shape[0]});
  data::preprocess(preprocessing, image, input.values(), ImageLayout::nhwc);
  return input;
}

void check(const PredictOptions& options) {
  if (options.top < 1 || options.batch_size < 1 || options.threads < 0)
    throw ConfigError("PredictOptions: top and batch_size must be at least 1, threads at least 0");
}

// The answer for a picture by itself.
Prediction answer(const Model& model, const data::Image& image, const PredictOptions& options) {
  const Tensor input = prepared(model.preprocessing(), image);
  const Tensor logits = infer(model.engine(), ImageView::nhwc(input.view<float>()), options.views);
  return {{}, {}, model.top_of(logits, 0, options.top)};
}

// Files of a network whose input follows the picture's size. Neighbours of one shape go through it together,
// 1, 2, 4, ... of them, since a model keeps a plan for each size.
class OfAnyShape {
 public:
  OfAnyShape(const Model& model, const Files& files, const PredictOptions& options,
             const std::function<void(const Prediction&)>& done)
      : model_(model),
        files_(files),
        options_(options),
        done_(done),
        pool_(options.threads > 0 ? options.threads : model.engine().device().threads) {}

  void run() {
    const std::int64_t most = 4 * std::min<std::int64_t>(pool_.threads(), options_.batch_size);
    std::int64_t round = 1;  // that are prepared at once: more while they are small
    for (std::int64_t first = 0; first < files_.size();) {
      std::vector<Tensor> pictures(static_cast<std::size_t>(std::min(round, files_.size() - first)));
      std::vector<std::exception_ptr> failures(pictures.size());
      pool_.parallel_for(std::ssize(pictures), [&](std::int64_t i, int) {
        const auto at = static_cast<std::size_t>(i);
        try {
          pictures[at] = read(first + i);
        } catch (...) {  // too little memory is no file's fault
          failures[at] = std::current_exception();
        }
      });
      for (const std::exception_ptr& failure : failures) {
        if (failure != nullptr) std::rethrow_exception(failure);
      }
      std::int64_t elements = 0;
      for (const Tensor& picture : pictures) elements += picture.shape().elements();
      round = 2 * elements <= data::kMostOfABatch ? std::min(2 * round, most)
                                                  : std::max<std::int64_t>(1, round / 2);
      for (Tensor& picture : pictures) take(first++, std::move(picture));
    }
    answer_all();
  }

 private:
  // [1,H,W,C]; empty where the file has an error.
  Tensor read(std::int64_t i) const {
    data::Image image;
    files_.image(i, image);
    return files_.error(i).empty() ? prepared(model_.preprocessing(), image) : Tensor();
  }

  void take(std::int64_t i, Tensor picture) {
    const std::int64_t elements = picture.shape().elements() * (std::ssize(waiting_) + 1);
    if (waiting_.empty()) first_ = i;
    if (!waiting_.empty() &&
        (picture.shape() != waiting_.front().shape() || std::ssize(waiting_) == options_.batch_size ||
         elements > data::kMostOfABatch)) {
      answer_all();
      first_ = i;
    }
    if (files_.error(i).empty()) {
      waiting_.push_back(std::move(picture));
    } else {
      done_({files_.path(i), files_.error(i), {}});
    }
  }

  void answer_all() {
    while (!waiting_.empty()) {
      const auto count = static_cast<std::int64_t>(std::bit_floor(waiting_.size()));
      std::string error;  // of pictures of this size
      Tensor logits;
      try {
        logits = train::outputs_of(model_, std::span(waiting_).first(static_cast<std::size_t>(count)),
                                   options_.views);
      } catch (const ShapeError& refused) {
        error = refused.what();
      }
      waiting_.erase(waiting_.begin(), waiting_.begin() + count);
      for (std::int64_t n = 0; n < count; ++n, ++first_) {
        Prediction prediction{files_.path(first_), error, {}};
        if (error.empty()) prediction.top = model_.top_of(logits, n, options_.top);
        done_(prediction);
      }
    }
  }

  const Model& model_;
  const Files& files_;
  const PredictOptions& options_;
  const std::function<void(const Prediction&)>& done_;
  std::vector<Tensor> waiting_;  // of one shape
  std::int64_t first_ = 0;       // the number of the first of them
  ThreadPool pool_;              // that reads
};

}  // namespace

namespace train {

Json json_of(const Prediction& prediction) {
  Json object = Json::object({{"file", prediction.file.string()}});
  if (!prediction.error.empty()) {
    object.add("error", prediction.error);
    return object;
  }
  Json top = Json::list();
  for (const auto& [label, probability] : prediction.top) {
    top.push_back(Json::object({{"label", label}, {"probability", static_cast<double>(probability)}}));
  }
  object.add("label", prediction.top.front().first);
  object.add("probability", static_cast<double>(prediction.top.front().second));
  object.add("top", top);
  return object;
}

}  // namespace train

void predict(const Model& model, std::span<const std::filesystem::path> files, const PredictOptions& options,
             const std::function<void(const Prediction&)>& done) {
  check(options);
  if (files.empty()) return;
  const auto source = std::make_shared<Files>(files, model.preprocessing());
  const std::optional<Shape> shape = data::fixed_shape(model.preprocessing());
  if (!shape) return OfAnyShape(model, *source, options, done).run();
  const data::Dataset dataset(source, "files", {"unknown"}, model.preprocessing(), *shape);
  data::Loader loader(dataset,
                      {.batch_size = std::min(options.batch_size, source->size()),
                       .threads = train::answering_threads(model.engine().device().threads, options.threads),
                       .layout = ImageLayout::nhwc});
  loader.start();
  std::int64_t next = 0;
  while (const data::Batch* batch = loader.next()) {
    const Tensor logits = infer(model.engine(), batch->view(), options.views);
    for (std::int64_t n = 0; n < batch->size(); ++n, ++next) {
      Prediction prediction{source->path(next), source->error(next), {}};
      if (prediction.error.empty()) prediction.top = model.top_of(logits, n, options.top);
      done(prediction);
    }
  }
}

std::vector<Prediction> predict(const Model& model, std::span<const std::filesystem::path> files,
                                const PredictOptions& options) {
  std::vector<Prediction> answers;
  answers.reserve(files.size());
  predict(model, files, options, [&](const Prediction& answer) { answers.push_back(answer); });
  return answers;
}

Prediction predict(const Model& model, std::span<const std::uint8_t> file, const PredictOptions& options) {
  check(options);
  return answer(model, images::decode(file, {}, data::draft_of(model.preprocessing())), options);
}

}  // namespace resnet
