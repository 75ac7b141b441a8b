#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/files.h"
#include "graph/names.h"
#include "io/onnx/evaluate.h"
#include "io/onnx/read.h"
#include "kernels/loss/softmax.h"
#include "resnet/export.h"
#include "tensor/nonfinite.h"

namespace resnet {
namespace io::onnx {
namespace {

// Of pictures there are those of 1 and of 3 channels; a network of another number sees the picture's colours in
// turn.
Tensor seen_by_model(const data::Preprocessing& preprocessing, const images::Image& picture) {
  const Shape shape = data::preprocessed_shape(preprocessing, picture.height, picture.width);
  Tensor result({1, shape[0], shape[1], shape[2]});
  if (shape[0] == 1 || shape[0] == 3) {
    data::preprocess(preprocessing, picture, result.values());
    return result;
  }
  data::Preprocessing of_colours = preprocessing;
  of_colours.channels = 3;
  of_colours.normalization = {};
  Tensor colours({1, 3, shape[1], shape[2]});
  data::preprocess(of_colours, picture, colours.values());
  const auto area = static_cast<std::size_t>(shape[1] * shape[2]);
  for (std::size_t c = 0; c < static_cast<std::size_t>(shape[0]); ++c)
    std::ranges::copy(colours.values().subspan(c % 3 * area, area),
                      result.values().subspan(c * area).begin());
  return result;
}

// The larger one; NaN stays.
double worse(double a, double b) {
  return std::isnan(a) || b <= a ? a : b;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = worse(largest, a[i] == b[i] ? 0 : std::abs(double{a[i]} - double{b[i]}));  // infinities too
  return largest;
}

void to_probabilities(Tensor& logits) {
  const kernels::Softmax softmax = kernels::softmax_of(logits.values().data(), logits.shape()[1]);
  for (float& value : logits.values())
    value = static_cast<float>(std::exp(double{value} - softmax.largest) / softmax.exp_sum);
}

std::ptrdiff_t top(const Tensor& output) {
  return std::ranges::max_element(output.values()) - output.values().begin();
}

// `given` by the model, `got` by the file.
void compare(OnnxDeviation& result, const Tensor& given, const Tensor& got) {
  if (!(given.shape() == got.shape()))
    throw FormatError(
        fmt::format("its output is {}, the model's {}", to_string(got.shape()), to_string(given.shape())));
  ++result.pictures;
  if (nonfinite_in(given) != NonFiniteKind::none || nonfinite_in(got) != NonFiniteKind::none) {
    ++result.nonfinite;
  } else if (top(given) == top(got)) {
    ++result.same_top1;
  }
  result.output = worse(result.output, largest_difference(given.values(), got.values()));
  for (const float value : given.values()) result.largest = worse(result.largest, std::abs(double{value}));
}

}  // namespace
}  // namespace io::onnx

OnnxDeviation onnx_deviation(const std::filesystem::path& path, const ModelFile& model,
                             std::span<const images::Image> pictures, const EngineOptions& options) {
  std::size_t i = 0;
  const auto next = [&] { return i < pictures.size() ? &pictures[i++] : nullptr; };
  return onnx_deviation(path, model, next, options);
}

OnnxDeviation onnx_deviation(const std::filesystem::path& path, const ModelFile& model,
                             const std::function<const images::Image*()>& next,
                             const EngineOptions& options) {
  using namespace io::onnx;
  const std::vector<std::byte> bytes = read_file(path, kMostFile);
  const Shape& images = model.graph.value(model.graph.input(graph::kImages)).type.shape;
  Read file = read_network({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, images[2], images[3]);
  const auto ours = make_engine({model.graph, {}, model.state}, options);
  const auto theirs = make_engine({file.graph, {}, file.state}, options);
  OnnxDeviation result;
  while (const images::Image* picture = next()) {
    Tensor seen = seen_by_model(model.preprocessing, *picture);
    Tensor given = ours->infer({seen.values().data(), seen.shape()});
    if (file.preprocessing > 0) {
      const Tensor made = evaluate(file.proto.graph(), file.preprocessing, *picture);
      if (!(made.shape() == seen.shape()))
        throw FormatError(fmt::format("{}: its preprocessing gives {}, the model's {}", path.string(),
                                      to_string(made.shape()), to_string(seen.shape())));
      result.input = worse(result.input, largest_difference(seen.values(), made.values()));
      seen = made;
    }
    Tensor got = theirs->infer({seen.values().data(), seen.shape()});
    if (file.softmax) {
      to_probabilities(given);
      to_probabilities(got);
    }
    compare(result, given, got);
  }
  return result;
}

}  // namespace resnet
