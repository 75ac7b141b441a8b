#include <algorithm>
#include <chrono>
#include <limits>
#include <set>

#include "base/clock.h"
#include "bench/bench.h"
#include "data/augment.h"
#include "data/cache.h"
#include "data/preprocess.h"

namespace resnet::bench {
namespace {

using Clock = std::chrono::steady_clock;

// As the loader does it, example by example.
void time_parts(const data::Dataset& dataset, const data::LoaderOptions& options, double seconds,
                LoaderBench& figures) {
  const data::Augmenter augmenter(options.augment, options.seed, dataset.example_shape());
  const data::Form form = augmenter.crops_decoded() ? data::Form::decoded : data::Form::prepared;
  data::Preprocessor preprocessor(dataset.preprocessing());
  data::Image room;
  const auto elements = static_cast<std::size_t>(dataset.example_shape().elements());
  const std::int64_t batch = std::min(options.batch_size, dataset.size());
  std::vector<float> out(elements * static_cast<std::size_t>(batch));
  double decode = 0, transform = 0, copy = 0;
  std::int64_t done = 0;
  const auto begin = Clock::now();
  for (const std::int64_t i : data::Order::shuffled(0).indices(dataset.size(), 0)) {
    const data::Augmenter::Example example{0, i};
    const auto place = std::span(out).subspan(elements * static_cast<std::size_t>(done % batch), elements);
    const auto start = Clock::now();
    const data::Image& picture = data::picture_of(dataset, i, form, preprocessor, room);
    const auto decoded = Clock::now();
    const data::Image& changed = preprocessor.changed(picture, augmenter, example);
    const auto transformed = Clock::now();
    preprocessor.write(changed, options.layout, place, augmenter, example);
    const auto end = Clock::now();
    decode += seconds_between(start, decoded);
    transform += seconds_between(decoded, transformed);
    copy += seconds_between(transformed, end);
    ++done;
    if (seconds_between(begin, end) > seconds) break;
  }
  const double us = done == 0 ? 0 : 1e6 / static_cast<double>(done);
  figures.decode_us = decode * us;
  figures.transform_us = transform * us;
  figures.copy_us = copy * us;
}

// Of an epoch, or `seconds` of it.
std::int64_t examples_of(data::Loader& loader, std::int64_t epoch, double seconds) {
  loader.start(data::Order::shuffled(0), epoch);
  const auto begin = Clock::now();
  std::int64_t examples = 0;
  while (const data::Batch* batch = loader.next()) {
    examples += batch->size();
    if (seconds_between(begin, Clock::now()) > seconds) break;
  }
  return examples;
}

// Behind an epoch in which the loader gets its memory and the system the files.
double rate(const data::Dataset& dataset, const data::LoaderOptions& options, double seconds) {
  data::Loader loader(dataset, options);
  examples_of(loader, 0, seconds);
  const auto begin = Clock::now();
  std::int64_t examples = 0;
  double taken = 0;
  for (std::int64_t epoch = 1; taken <= seconds; ++epoch) {
    examples += examples_of(loader, epoch, seconds - taken);
    taken = seconds_between(begin, Clock::now());
  }
  return static_cast<double>(examples) / taken;
}

}  // namespace

LoaderBench time_loader(const data::Dataset& dataset, const data::LoaderOptions& options, double seconds) {
  LoaderBench figures;
  if (dataset.cache() != nullptr) {
    data::Loader loader(dataset, options);
    examples_of(loader, 0, std::numeric_limits<double>::infinity());
  }
  time_parts(dataset, options, seconds, figures);
  for (const int threads : std::set<int>{1, options.threads}) {
    data::LoaderOptions chosen = options;
    chosen.threads = threads;
    figures.loaders.push_back({threads, rate(dataset, chosen, seconds)});
  }
  return figures;
}

}  // namespace resnet::bench
