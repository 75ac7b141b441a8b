// The C interface over Model: checks of what it is given, one place where exceptions end.
#include "resnet.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/preprocess.h"
#include "resnet/images.h"
#include "resnet/memory.h"
#include "resnet/model_file.h"
#include "resnet/version.h"

struct resnet_model {
  resnet::Model model;
  std::vector<std::string> names;  // of all outputs
};

namespace {

using resnet::Model;
using resnet::Shape;
using resnet::Tensor;
using resnet::data::Image;

constexpr std::size_t kTogether = 32;  // pictures

// Texts of the calling thread's last error. No memory is taken for them: there may be none.
struct LastError {
  std::array<char, 304> what{}, hint{};
};
thread_local LastError last_error;

void put(std::array<char, 304>& to, std::string_view text) noexcept {
  const std::size_t size = std::min(text.size(), to.size() - 1);
  std::copy_n(text.begin(), size, to.begin());
  to[size] = '\0';
}

resnet_status failed(resnet_status status, std::string_view what, std::string_view hint) noexcept {
  put(last_error.what, what);
  put(last_error.hint, hint);
  return status;
}

// An argument that cannot be.
class BadArgument : public resnet::Error {
 public:
  explicit BadArgument(const std::string& what) : Error(what, "resnet.h says what the function takes") {}
};

void expect(bool holds, const char* what) {
  if (!holds) throw BadArgument(what);
}

// Calls body(); whatever it throws becomes a status and the thread's last error.
template <class Body>
resnet_status guarded(const Body& body) noexcept {
  const auto of = [](resnet_status status, const resnet::Error& error) {
    return failed(status, error.what(), error.hint());
  };
  try {
    body();
    return RESNET_OK;
  } catch (const BadArgument& error) {
    return of(RESNET_ERROR_ARGUMENT, error);
  } catch (const resnet::IoError& error) {
    return of(RESNET_ERROR_IO, error);
  } catch (const resnet::FormatError& error) {
    return of(RESNET_ERROR_FORMAT, error);
  } catch (const resnet::MemoryError& error) {
    return of(RESNET_ERROR_MEMORY, error);
  } catch (const resnet::ConfigError& error) {
    return of(RESNET_ERROR_MACHINE, error);
  } catch (const resnet::ShapeError& error) {
    return of(RESNET_ERROR_SHAPE, error);
  } catch (const resnet::Error& error) {
    return of(RESNET_ERROR_INTERNAL, error);
  } catch (const std::bad_alloc&) {
    return failed(RESNET_ERROR_MEMORY, "there is not enough memory",
                  "give the process more, or it less to do");
  } catch (const std::exception& error) {
    return failed(RESNET_ERROR_INTERNAL, error.what(), "report it with what led to it");
  } catch (...) {
    return failed(RESNET_ERROR_INTERNAL, "an unknown error", "report it with what led to it");
  }
}

resnet::EngineOptions engine_options(const resnet_options* given) {
  resnet_options options = RESNET_OPTIONS;
  if (given != nullptr) {
    constexpr std::size_t kLeast = offsetof(resnet_options, memory) + sizeof options.memory;
    expect(given->size >= kLeast, "resnet_options::size is too small: begin with RESNET_OPTIONS");
    std::memcpy(&options, given, std::min(given->size, sizeof options));
  }
  constexpr int kMostThreads = 4096;
  expect(options.threads >= 0 && options.threads <= kMostThreads,
         "resnet_options::threads must be 0 to 4096");
  expect(options.memory >= 0, "resnet_options::memory cannot be negative");
  return {.threads = options.threads, .memory = options.memory};
}

std::unique_ptr<resnet_model> opened(resnet::ModelFile file, const resnet::EngineOptions& options) {
  const Shape& output = file.graph.value(file.graph.output("output")).type.shape;
  if (output.rank() != 2 || output[1] < 1) {
    throw resnet::ShapeError(
        "the model's output is " + to_string(output) + ", and a classifier's is [N,classes]",
        "the C interface answers for classifiers");
  }
  std::vector<std::string> names = file.classes;
  for (auto i = static_cast<std::int64_t>(names.size()); i < output[1]; ++i)
    names.push_back(std::to_string(i));
  return std::make_unique<resnet_model>(resnet_model{Model(std::move(file), options), std::move(names)});
}

// What a picture's limits are for files, for pixels too.
void check_size(std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kMostSide = 65535;
  expect(height >= 1 && width >= 1 && height <= kMostSide && width <= kMostSide &&
             height * width <= resnet::images::Limits{}.pixels,
         "a picture must have 1 to 65535 pixels a side, and 2^26 at the most");
}

Image image_of(const Model& model, const resnet_picture& picture) {
  expect(picture.data != nullptr, "a picture's data is null");
  const auto* bytes = static_cast<const std::uint8_t*>(picture.data);
  if (picture.width == 0) {
    return resnet::images::decode({bytes, picture.size}, {}, resnet::data::draft_of(model.preprocessing()));
  }
  check_size(picture.height, picture.width);
  expect(picture.channels == 1 || picture.channels == 3, "a picture's channels must be 1 or 3");
  const auto rows = static_cast<std::size_t>(picture.height);
  const std::size_t row =
      static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.channels);
  const std::size_t stride = picture.stride == 0 ? row : picture.stride;
  expect(stride >= row, "a picture's stride is less than a row");
  expect(row <= picture.size && (rows - 1) <= (picture.size - row) / stride,
         "a picture's size is less than its rows need");
  Image image{picture.height, picture.width, picture.channels, std::vector<std::uint8_t>(rows * row)};
  for (std::size_t y = 0; y < rows; ++y) std::copy_n(bytes + y * stride, row, image.pixels.data() + y * row);
  return image;
}

// Pictures of one shape as the network sees them.
struct Batch {
  Shape example;  // [C,H,W]
  std::vector<float> values;
  std::int64_t size = 0;
};

// What `make` gives for a picture; an error of it names the picture where there are several.
template <class Make>
auto of_picture(bool numbered, std::size_t number, const Make& make) {
  const auto named = [&](const char* what) {
    return (numbered ? "picture " + std::to_string(number) + ": " : std::string()) + what;
  };
  try {
    return make();
  } catch (const BadArgument& error) {
    throw BadArgument(named(error.what()));
  } catch (const resnet::FormatError& error) {
    throw resnet::FormatError(named(error.what()), error.hint());
  } catch (const resnet::ShapeError& error) {
    throw resnet::ShapeError(named(error.what()), error.hint());
  }
}

// The `kept` likeliest of each picture of the batch, `most` places apart. The first one is `first`.
void answer(const Model& model, std::size_t classes, const Batch& batch, std::size_t kept,
            resnet_prediction* to, std::size_t most, bool numbered, std::size_t first) {
  const Shape& example = batch.example;
  const Tensor logits = of_picture(numbered, first, [&] {
    Tensor outputs = model.infer(resnet::ImageView::nhwc(
        {batch.values.data(), Shape{batch.size, example[1], example[2], example[0]}}));
    if (outputs.shape().rank() != 2 || outputs.shape()[1] != static_cast<std::int64_t>(classes)) {
      throw resnet::ShapeError("the network has outputs of " + to_string(outputs.shape()) +
                                   " for pictures of this size, not " + std::to_string(classes) + " for each",
                               "give pictures of the size that it was made for");
    }
    return outputs;
  });
  for (std::int64_t n = 0; n < batch.size; ++n) {
    const auto ranked = of_picture(numbered, first + static_cast<std::size_t>(n),
                                   [&] { return model.ranked(logits, n, static_cast<std::int64_t>(kept)); });
    for (std::size_t k = 0; k < kept; ++k) to[k] = {ranked[k].first, ranked[k].second};
    to += most;
  }
}

void predict(const resnet_model* model, const resnet_picture* pictures, std::size_t count, bool numbered,
             resnet_prediction* top, std::size_t most, std::size_t* found) {
  expect(model != nullptr, "the model is null");
  expect(pictures != nullptr && count > 0, "there are no pictures");
  expect(top != nullptr && most > 0, "there is no room for predictions");
  const std::size_t kept = std::min(most, model->names.size());
  expect(count <= std::numeric_limits<std::size_t>::max() / sizeof(resnet_prediction) / most,
         "there is no memory that has so many places for predictions");
  const resnet::data::Preprocessing& preprocessing = model->model.preprocessing();
  Batch batch;
  std::size_t answered = 0;
  const auto flush = [&] {
    if (batch.size == 0) return;
    answer(model->model, model->names.size(), batch, kept, top + answered * most, most, numbered, answered);
    answered += static_cast<std::size_t>(batch.size);
    batch.values.clear();
    batch.size = 0;
  };
  for (std::size_t i = 0; i < count; ++i) {
    Shape example;
    const Image image = of_picture(numbered, i, [&] {
      Image its = image_of(model->model, pictures[i]);
      example = resnet::data::preprocessed_shape(preprocessing, its.height, its.width);
      return its;
    });
    if (batch.size == static_cast<std::int64_t>(kTogether) || !(batch.example == example) ||
        (batch.size + 1) * example.elements() > resnet::data::kMostOfABatch)
      flush();
    batch.example = example;
    const std::size_t before = batch.values.size();
    batch.values.resize(before + static_cast<std::size_t>(example.elements()));
    of_picture(numbered, i, [&] {
      resnet::data::preprocess(preprocessing, image, std::span(batch.values).subspan(before),
                               resnet::ImageLayout::nhwc);
    });
    ++batch.size;
  }
  flush();
  if (found != nullptr) *found = kept;
}

}  // namespace

const char* resnet_version(void) {
  return resnet::kVersion;
}

const char* resnet_error(void) {
  return last_error.what.data();
}

const char* resnet_hint(void) {
  return last_error.hint.data();
}

resnet_status resnet_open(const char* path, const resnet_options* options, resnet_model** model) {
  return guarded([&] {
    expect(path != nullptr, "the path is null");
    expect(model != nullptr, "there is no place for the model");
    const resnet::EngineOptions chosen = engine_options(options);
    *model = opened(resnet::read_model(path), chosen).release();
  });
}

resnet_status resnet_open_bytes(const void* bytes, size_t size, const resnet_options* options,
                                resnet_model** model) {
  return guarded([&] {
    expect(bytes != nullptr, "the bytes are null");
    expect(model != nullptr, "there is no place for the model");
    const resnet::EngineOptions chosen = engine_options(options);
    *model = opened(resnet::parse_model({static_cast<const std::byte*>(bytes), size}, "the model"), chosen)
                 .release();
  });
}

void resnet_close(resnet_model* model) {
  delete model;
}

size_t resnet_classes(const resnet_model* model) {
  return model == nullptr ? 0 : model->names.size();
}

const char* resnet_class_name(const resnet_model* model, size_t index) {
  return model == nullptr || index >= model->names.size() ? nullptr : model->names[index].c_str();
}

resnet_status resnet_input(const resnet_model* model, resnet_input_info* input) {
  return guarded([&] {
    expect(model != nullptr, "the model is null");
    expect(input != nullptr, "there is no place for the answer");
    const resnet::data::Preprocessing& preprocessing = model->model.preprocessing();
    const std::optional<Shape> shape = resnet::data::fixed_shape(preprocessing);
    *input = {preprocessing.channels, shape ? (*shape)[1] : 0, shape ? (*shape)[2] : 0};
  });
}

resnet_status resnet_predict(const resnet_model* model, const void* file, size_t size, resnet_prediction* top,
                             size_t most, size_t* found) {
  return guarded([&] {
    const resnet_picture picture = {file, size, 0, 0, 0, 0};
    predict(model, &picture, 1, false, top, most, found);
  });
}

resnet_status resnet_predict_rgb(const resnet_model* model, const uint8_t* pixels, int64_t width,
                                 int64_t height, resnet_prediction* top, size_t most, size_t* found) {
  return guarded([&] {
    constexpr int kChannels = 3;
    check_size(height, width);
    const auto size = static_cast<std::size_t>(height * width * kChannels);
    const resnet_picture picture = {pixels, size, width, height, kChannels, 0};
    predict(model, &picture, 1, false, top, most, found);
  });
}

resnet_status resnet_predict_batch(const resnet_model* model, const resnet_picture* pictures, size_t count,
                                   resnet_prediction* top, size_t most, size_t* found) {
  return guarded([&] { predict(model, pictures, count, true, top, most, found); });
}
