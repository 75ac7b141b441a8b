// The callables that a pickle may name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/stored_type.h"

namespace resnet::io {

struct Callable {
  enum class Means : std::uint8_t {
    dict,               // OrderedDict, defaultdict: a dict
    rebuild_tensor,     // a tensor of a storage, offset, sizes and strides
    rebuild_parameter,  // its first argument
    size,               // its tuple
    storage_type,       // part of a storage's persistent id
    plain               // data without a meaning here
  };
  std::string_view name;  // "collections.OrderedDict"
  Means means = Means::plain;
  StoredType type = StoredType::f32;  // of a storage_type
};

/// The place of a callable in the table. Throws FormatError, with what to do, for one that is not there.
std::uint32_t place_of_callable(std::string_view module, std::string_view name);
const Callable& callable_at(std::uint32_t place) noexcept;

}  // namespace resnet::io
