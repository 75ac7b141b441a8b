#include <algorithm>
#include <cmath>

#include "kernels/loss/softmax.h"
#include "resnet/train.h"
#include "train/batches.h"
#include "train/feed.h"
#include "train/memory.h"

namespace resnet {
namespace {

// Equal logits come in the order of their classes, as argmax has them.
Answer answer_of(const float* logits, std::int64_t outputs, const kernels::Softmax& softmax,
                 std::int64_t label) {
  const auto probability = [&](std::int64_t k) {
    return static_cast<float>(std::exp(static_cast<double>(logits[k]) - softmax.largest) / softmax.exp_sum);
  };
  std::int64_t rank = 0;
  for (std::int64_t k = 0; k < outputs; ++k) {
    rank += logits[k] > logits[label] || (logits[k] == logits[label] && k < label) ? 1 : 0;
  }
  return {static_cast<std::int32_t>(label), static_cast<std::int32_t>(softmax.argmax),
          static_cast<std::int32_t>(rank), probability(softmax.argmax), probability(label)};
}

}  // namespace

Evaluation evaluate(Engine& engine, const data::Dataset& test, const EvaluateOptions& options) {
  if (test.size() == 0) throw ConfigError(test.name() + ": there are no examples to evaluate");
  const auto classes = static_cast<std::int64_t>(test.classes().size());
  Evaluation result;
  double loss_sum = 0;
  std::int64_t correct = 0;
  const int prefetch =
      options.prefetch > 0 ? options.prefetch : train::fit_into_memory(engine, test, options);
  const data::LoaderOptions loading{
      .batch_size = options.batch_size,
      .prefetch = prefetch,
      .threads = train::answering_threads(engine.device().threads, options.loader_threads),
      .layout = ImageLayout::nhwc};
  data::Loader loader(test, loading);
  train::Feed feed(engine, loader, test, loading);
  feed.start(data::Order::sequential(), 0);
  train::Answers batches(engine, feed, options.views, options.stop);
  while (const auto batch = batches.next()) {
    const Tensor& logits = batch->outputs;
    if (logits.shape().rank() != 2 || logits.shape()[1] < classes) {
      throw ShapeError(
          "expected an output [N," + std::to_string(classes) + "], got " + to_string(logits.shape()),
          "the network must have at least as many classes as the data");
    }
    const std::int64_t outputs = logits.shape()[1];
    const std::int64_t count = std::ssize(batch->labels);
    for (std::int64_t n = 0; n < count; ++n) {
      const float* row = logits.values().data() + n * outputs;
      const kernels::Softmax softmax = kernels::softmax_of(row, outputs);
      result.finite =
          result.finite && std::all_of(row, row + outputs, [](float logit) { return std::isfinite(logit); });
      const std::int64_t label = batch->labels[static_cast<std::size_t>(n)];
      if (label < 0 || label >= classes) {
        throw ShapeError("label " + std::to_string(label) + " of a data set with " + std::to_string(classes) +
                         " classes");
      }
      loss_sum += std::log(softmax.exp_sum) + (softmax.largest - static_cast<double>(row[label]));
      correct += softmax.argmax == label ? 1 : 0;
      result.answers.push_back(answer_of(row, outputs, softmax, label));
    }
    result.examples += count;
    if (options.seen) options.seen(result.examples);
  }
  if (result.examples == 0) return result;
  const auto examples = static_cast<double>(result.examples);
  result.test_acc = static_cast<double>(correct) / examples;
  result.loss = loss_sum / examples;
  return result;
}

Evaluation evaluate(nn::Module& net, const data::Dataset& test, const EvaluateOptions& options) {
  const Shape& example = test.example_shape();
  const auto engine = options.engine_factory(
      network_of(net, {options.batch_size, example[0], example[1], example[2]}), options.engine);
  return evaluate(*engine, test, options);
}

}  // namespace resnet
