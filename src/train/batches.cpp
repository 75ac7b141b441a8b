#include "train/batches.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "base/text.h"
#include "data/augment.h"

namespace resnet::train {

void check_data(const data::Dataset& train, const data::Dataset& test) {
  if (train.size() == 0)
    throw ConfigError(train.name() + " has no example to train on",
                      "give a smaller DatasetOptions::val_split, or pictures in train/");
  if (test.size() == 0)
    throw ConfigError(test.name() + " has no example to test on",
                      "give a larger DatasetOptions::val_split, or pictures in val/");
  if (train.example_shape() != test.example_shape()) {
    throw ShapeError("training images " + to_string(train.example_shape()) + " and test images " +
                         to_string(test.example_shape()) + " differ",
                     "give both the same DatasetOptions::resize");
  }
  if (train.classes() != test.classes())
    throw ConfigError(train.name() + " and " + test.name() + " have other classes, or another order of them",
                      "Dataset::with_classes() gives one the other's");
  if (train.preprocessing() != test.preprocessing())
    throw ConfigError("the pictures of " + train.name() + " and " + test.name() + " are prepared differently",
                      "give both the same DatasetOptions");
}

Shape batch_shape(const FitOptions& options, const data::Dataset& train) {
  const Shape& example = train.example_shape();
  return {std::min(options.batch_size, train.size()), example[0], example[1], example[2]};
}

void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size,
                   bool drop_last) {
  const Shape& example = train.example_shape();
  const auto check = [&](std::int64_t batch) {
    nn::trace(net, {batch, example[0], example[1], example[2]}, Mode::train);
  };
  const std::int64_t rest = train.size() % batch_size;
  if (drop_last && train.size() < batch_size) {
    throw ConfigError("FitOptions::drop_last leaves no batch: FitOptions::batch_size is " +
                          std::to_string(batch_size) + ", " + train.name() + " has " +
                          std::to_string(train.size()) + " examples",
                      "give a smaller FitOptions::batch_size");
  }
  check(std::min(batch_size, train.size()));
  if (rest == 0 || drop_last) return;
  try {
    check(rest);
  } catch (const ShapeError& error) {
    throw ShapeError("the last batch has " + counted(rest, "example", "examples") + " of " +
                         std::to_string(train.size()) + ": " + error.what(),
                     "FitOptions::drop_last leaves it out; or give another FitOptions::batch_size");
  }
}

Work work_of(const FitOptions& options) {
  return options.accumulate > 1 || options.clip_norm > 0 ? Work::gradients : Work::step;
}

bool mixes(const FitOptions& options, const data::Dataset& train) {
  return data::Augmenter(options.augment, options.seed, train.example_shape()).mixes();
}

std::string plan_of(const FitOptions& options, Engine& engine, const data::Dataset& train) {
  auto* const planned = dynamic_cast<PlannedEngine*>(&engine);
  if (planned == nullptr) return "";
  return planned->plan_sha256(batch_shape(options, train), work_of(options), mixes(options, train));
}

int loader_threads(int engine_threads, int given) {
  return given > 0 ? given : std::clamp(engine_threads / 4, 1, 8);
}

int answering_threads(int engine_threads, int given) {
  return given > 0 ? given : std::clamp(engine_threads, 1, 8);
}

data::LoaderOptions loader_options(const FitOptions& options, int prefetch) {
  const int engine_threads = options.engine.threads > 0 ? options.engine.threads : default_threads();
  return {.batch_size = options.batch_size,
          .prefetch = prefetch,
          .threads = loader_threads(engine_threads, options.loader_threads),
          .layout = ImageLayout::nhwc,
          .drop_last = options.drop_last,
          .augment = options.augment,
          .seed = options.seed};
}

data::Order order_of(const FitOptions& options, const data::Dataset& train) {
  if (!options.balanced) return data::Order::shuffled(options.seed);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < train.size(); ++i) labels.push_back(train.label(i));
  return data::Order::balanced(options.seed, std::move(labels));
}

}  // namespace resnet::train
