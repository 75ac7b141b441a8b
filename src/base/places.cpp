#include "base/places.h"

namespace resnet {

Places::Places(const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) known_.emplace(names[i], i);
}

std::optional<std::size_t> Places::of(std::string_view name) const {
  const auto found = known_.find(name);
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

}  // namespace resnet
