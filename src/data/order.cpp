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

// As many examples of each class; which classes have one more changes from epoch to epoch. Of a class with more
// than that the next ones of an order that is kept until each of them has come.
std::vector<std::int64_t> balanced_indices(const std::vector<std::int32_t>& labels, std::uint64_t seed,
                                           std::size_t epoch) {
  std::map<std::int32_t, std::vector<std::int64_t>> of_class;
  for (std::size_t i = 0; i < labels.size(); ++i) of_class[labels[i]].push_back(static_cast<std::int64_t>(i));
  const std::size_t classes = of_class.size(), least = labels.size() / classes;
  std::vector<std::int64_t> order;
  std::size_t place = epoch % classes;
  for (auto& [label, examples] : of_class) {
    std::size_t wanted = least + (place < labels.size() % classes ? 1 : 0);
    place = (place + 1) % classes;
    const std::size_t epochs = (examples.size() + least - 1) / least;  // in which each has come
    shuffle(examples, seed, "balance/" + std::to_string(epoch / epochs) + "/" + std::to_string(label));
    for (; wanted > examples.size(); wanted -= examples.size())
      order.insert(order.end(), examples.begin(), examples.end());
    const std::size_t first = std::min(epoch % epochs * least, examples.size() - wanted);
    const auto begin = examples.begin() + static_cast<std::ptrdiff_t>(first);
    order.insert(order.end(), begin, begin + static_cast<std::ptrdiff_t>(wanted));
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
    order = balanced_indices(labels_, *seed_, static_cast<std::size_t>(epoch));
  }
  shuffle(order, *seed_, "shuffle/" + std::to_string(epoch));
  return order;
}

}  // namespace resnet::data
