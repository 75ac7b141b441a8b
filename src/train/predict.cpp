#include "resnet/predict.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "data/preprocess.h"
#include "resnet/images.h"
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

void check(const PredictOptions& options) {
  if (options.top < 1 || options.batch_size < 1 || options.threads < 0)
    throw ConfigError("PredictOptions: top and batch_size must be at least 1, threads at least 0");
}

// The answer for a picture by itself.
Prediction answer(Model& model, const data::Image& image, const PredictOptions& options) {
  const Shape shape = example_of(model.preprocessing(), image);
  Tensor images(Shape{1, shape[1], shape[2], shape[0]});
  data::preprocess(model.preprocessing(), image, images.values(), ImageLayout::nhwc);
  const Tensor logits = infer(model.engine(), ImageView::nhwc(images.view<float>()), options.views);
  return {{}, {}, model.top_of(logits, 0, options.top)};
}

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

void predict(Model& model, std::span<const std::filesystem::path> files, const PredictOptions& options,
             const std::function<void(const Prediction&)>& done) {
  check(options);
  if (files.empty()) return;
  const auto source = std::make_shared<Files>(files, model.preprocessing());
  const std::optional<Shape> shape = data::fixed_shape(model.preprocessing());
  if (!shape) {
    for (std::int64_t i = 0; i < source->size(); ++i) {
      data::Image image;
      source->image(i, image);
      Prediction prediction;
      if (source->error(i).empty()) prediction = answer(model, image, options);
      prediction.file = files[static_cast<std::size_t>(i)];
      prediction.error = source->error(i);
      done(prediction);
    }
    return;
  }
  const data::Dataset dataset(source, "files", {"unknown"}, model.preprocessing(), *shape);
  data::Loader loader(dataset,
                      {.batch_size = std::min(options.batch_size, source->size()),
                       .threads = train::loader_threads(model.engine().device().threads, options.threads),
                       .layout = ImageLayout::nhwc});
  loader.start();
  std::int64_t next = 0;
  while (const data::Batch* batch = loader.next()) {
    const Tensor logits = infer(model.engine(), batch->view(), options.views);
    for (std::int64_t n = 0; n < batch->size(); ++n, ++next) {
      Prediction prediction{files[static_cast<std::size_t>(next)], source->error(next), {}};
      if (prediction.error.empty()) prediction.top = model.top_of(logits, n, options.top);
      done(prediction);
    }
  }
}

Prediction predict(Model& model, std::span<const std::uint8_t> file, const PredictOptions& options) {
  check(options);
  return answer(model, images::decode(file, {}, data::draft_of(model.preprocessing())), options);
}

}  // namespace resnet
