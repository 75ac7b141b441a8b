// Names of a network's state.
#pragma once

#include <string>
#include <string_view>

namespace resnet::io {

/// PyTorch's count of training batches, i64, which nothing here depends on; files may lack it.
inline bool is_count(std::string_view name) {
  return name == "num_batches_tracked" || name.ends_with(".num_batches_tracked");
}

/// "layer1.0.conv1" of "layer1.0.conv1.weight".
inline std::string owner_of(std::string_view name) {
  return std::string(name.substr(0, name.rfind('.')));
}

/// Whether `name` is `part` or stands below it: "layer1.0.conv1.weight" of "layer1".
inline bool belongs_to(std::string_view name, std::string_view part) {
  return name == part || (name.starts_with(part) && name.substr(part.size()).starts_with('.'));
}

}  // namespace resnet::io
