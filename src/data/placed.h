// The batches of a loader as places alone, for an engine that holds the pictures.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/augment.h"
#include "resnet/data.h"

namespace resnet::data {

/// How often each example of an order was there before; empty where none is twice.
std::vector<std::int32_t> repetitions(const std::vector<std::int64_t>& order, std::int64_t size);

std::vector<std::int32_t> labels_of(std::span<const Placed> examples);

/// The batches that a Loader of the same data set and options makes, without their images: batch for batch
/// the same examples, and where their pixels go.
class PlacedLoader {
 public:
  /// `height` and `width` are those of all pictures behind the resize. Augmenter::only_places() is true.
  PlacedLoader(Dataset dataset, LoaderOptions options, std::int64_t height, std::int64_t width);

  /// As Loader::start().
  void start(const Order& order, std::int64_t epoch, std::int64_t first_batch);
  /// The next batch, valid until the next call; empty at the end of the epoch.
  std::span<const Placed> next();

 private:
  Dataset dataset_;
  LoaderOptions options_;
  std::int64_t height_, width_;
  Augmenter augmenter_;
  std::vector<std::int64_t> order_;
  std::vector<std::int32_t> again_;
  std::int64_t epoch_ = 0, at_ = 0;  // the next example of the order
  std::vector<Placed> batch_;
};

}  // namespace resnet::data
