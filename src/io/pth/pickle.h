// What torch.save() pickles of a state dict: containers, texts, numbers, and tensors that view storages.
// Nothing is executed: of the callables that a pickle may name only those of a table mean something, all
// others are refused by name (docs/weights.md).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/stored_type.h"

namespace resnet::io {

/// A value of a pickle. Containers and tensors are known by their place in it, so that one may be in itself.
struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    whole,
    text,
    tuple,
    list,
    dict,
    function,
    storage,
    tensor,
    other,  // plain data that no state dict is made of: floats, bytes, sets, devices
    mark
  };
  Kind kind = Kind::none;
  std::uint32_t place = 0;     // of a container, function, storage or tensor
  std::int64_t whole = 0;      // of a boolean too
  std::string_view text = {};  // in the pickle's bytes
};

struct PickledStorage {
  StoredType type = StoredType::f32;
  std::string_view key;
  std::int64_t elements = 0;
  bool operator==(const PickledStorage&) const = default;
};

/// Elements of a storage, all of which are in it: at most as many as it has.
struct PickledTensor {
  std::uint32_t storage = 0;
  std::int64_t offset = 0;  // elements
  Shape shape;
  std::array<std::int64_t, Shape::kMaxRank> strides{};  // elements, none negative
};

struct Pickle {
  using Dict = std::vector<std::pair<PickleValue, PickleValue>>;
  PickleValue root;
  std::vector<std::vector<PickleValue>> sequences;  // tuples and lists
  std::vector<Dict> dicts;
  std::vector<PickledStorage> storages;  // each key once
  std::vector<PickledTensor> tensors;
};

/// "a dict", "a tensor".
std::string described(const PickleValue& value);

/// Reads a pickle of protocol 2 to 5, of at most 8 MiB and 1,048,576 opcodes; memory: some hundred bytes for
/// each. Throws FormatError, without a file's name. The texts are those of `bytes`, which must outlive them.
Pickle read_pickle(std::string_view bytes);

}  // namespace resnet::io
