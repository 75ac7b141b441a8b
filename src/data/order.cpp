#include <numeric>
#include <string>
#include <utility>

#include "base/random.h"
#include "resnet/data.h"

namespace resnet::data {

std::vector<std::int64_t> Order::indices(std::int64_t size, std::int64_t epoch) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!seed_) return order;
  const RandomStream random(*seed_, "shuffle/" + std::to_string(epoch));
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i - 1, i)]);
  return order;
}

}  // namespace resnet::data
