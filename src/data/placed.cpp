#include "data/placed.h"

#include <algorithm>
#include <utility>

namespace resnet::data {

std::vector<std::int32_t> repetitions(const std::vector<std::int64_t>& order, std::int64_t size) {
  std::vector<std::int32_t> seen(static_cast<std::size_t>(size)), result;
  result.reserve(order.size());
  bool any = false;
  for (const std::int64_t index : order) {
    result.push_back(seen[static_cast<std::size_t>(index)]++);
    any = any || result.back() > 0;
  }
  if (!any) result.clear();
  return result;
}

std::vector<std::int32_t> labels_of(std::span<const Placed> examples) {
  std::vector<std::int32_t> labels;
  for (const Placed& placed : examples) labels.push_back(placed.label);
  return labels;
}

PlacedLoader::PlacedLoader(Dataset dataset, LoaderOptions options, std::int64_t height, std::int64_t width)
    : dataset_(std::move(dataset)),
      options_(std::move(options)),
      height_(height),
      width_(width),
      augmenter_(options_.augment, options_.seed, dataset_.example_shape()) {}

void PlacedLoader::start(const Order& order, std::int64_t epoch, std::int64_t first_batch) {
  order_ = order.indices(dataset_.size(), epoch);
  again_ = repetitions(order_, dataset_.size());
  epoch_ = epoch;
  at_ = first_batch * options_.batch_size;
}

std::span<const Placed> PlacedLoader::next() {
  batch_.clear();
  const auto left = static_cast<std::int64_t>(order_.size()) - at_;
  const std::int64_t count = std::min(options_.batch_size, left);
  if (count <= 0 || (options_.drop_last && count < options_.batch_size)) return {};
  for (const std::int64_t end = at_ + count; at_ < end; ++at_) {
    const auto i = static_cast<std::size_t>(at_);
    const Augmenter::Example example{epoch_, order_[i], again_.empty() ? 0 : again_[i]};
    batch_.push_back(augmenter_.place(height_, width_, example));
    batch_.back().label = dataset_.source().label(example.index);
  }
  return batch_;
}

}  // namespace resnet::data
