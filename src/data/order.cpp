// The order of an epoch.
#include <algorithm>
#include <map>
#include <numeric>
#include <string>

#include "base/random.h"
#include "resnet/data.h"

namespace resnet::data {
namespace {

void shuffle(std::vector<std::int64_t>& order, std::uint64_t seed, const std::string& stream) {
  const RandomStream random(seed, stream);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i - 1, i)]);
}

// `size` examples, as many of each class; which classes have one more changes from epoch to epoch.
std::vector<std::int64_t> balanced_indices(const std::vector<std::int32_t>& labels, std::uint64_t seed,
                                           const std::string& stream, std::int64_t epoch) {
  std::map<std::int32_t, std::vector<std::int64_t>> of_class;
  for (std::size_t i = 0; i < labels.size(); ++i) of_class[labels[i]].push_back(static_cast<std::int64_t>(i));
  const std::size_t classes = of_class.size();
  std::vector<std::int64_t> order;
  std::size_t place = static_cast<std::size_t>(epoch) % classes;
  for (auto& [label, examples] : of_class) {
    std::size_t wanted = labels.size() / classes + (place < labels.size() % classes ? 1 : 0);
    place = (place + 1) % classes;
    shuffle(examples, seed, stream + "/" + std::to_string(label));
    for (; wanted > examples.size(); wanted -= examples.size())
      order.insert(order.end(), examples.begin(), examples.end());
    order.insert(order.end(), examples.begin(), examples.begin() + static_cast<std::ptrdiff_t>(wanted));
  }
  return order;
}

}  // namespace

Order Order::balanced(std::uint64_t seed, std::vector<std::int32_t> labels) {
  Order order = shuffled(seed);
  order.labels_ = std::move(labels);
  return order;
}

std::vector<std::int64_t> Order::indices(std::int64_t size, std::int64_t epoch) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!seed_) return order;
  if (!labels_.empty()) {
    if (labels_.size() != order.size()) {
      throw ConfigError("Order::balanced has " + std::to_string(labels_.size()) + " labels for " +
                        std::to_string(size) + " examples");
    }
    order = balanced_indices(labels_, *seed_, "balance/" + std::to_string(epoch), epoch);
  }
  shuffle(order, *seed_, "shuffle/" + std::to_string(epoch));
  return order;
}

}  // namespace resnet::data
