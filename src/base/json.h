// Reading JSON that nobody vouches for: metadata of model files, graphs, records.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

namespace resnet {

/// What a text may cost before it is refused. A parsed value takes some ten times its text.
struct JsonLimits {
  std::size_t bytes = std::size_t{16} << 20U;  // length of the text
  int depth = 32;                              // lists and objects within each other
  std::size_t values = std::size_t{1} << 18U;  // members of objects and elements of lists, all together;
                                               // the graph of ResNet-152 has about 2^14
};

/// The value that `text` stands for. Refused, beyond what is not JSON: a key twice in one object
/// (silently the last one elsewhere), anything but space after the value, NUL bytes, and whatever
/// exceeds the limits. Throws FormatError with the position; the caller knows the file's name.
nlohmann::json parse_json(std::string_view text, const JsonLimits& limits = {});

/// The same, with the members of objects in the order of the text. Looking up a key is a search.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace resnet
