#include "io/pth/pickled_tensor.h"

#include <fmt/core.h>

#include <algorithm>

#include "io/pth/callables.h"
#include "resnet/error.h"

namespace resnet::io {
namespace {

using Kind = PickleValue::Kind;

std::vector<std::int64_t> wholes_of(const Pickle& pickle, const PickleValue& tuple) {
  std::vector<std::int64_t> result;
  for (const PickleValue& value : pickle.sequences[tuple.place]) {
    if (value.kind != Kind::whole)
      refuse_pickle(fmt::format("has {} for a size or a stride", described(value)));
    if (result.size() == Shape::kMaxRank)
      refuse_pickle(fmt::format("has a tensor of more than {} axes", Shape::kMaxRank));
    result.push_back(value.whole);
  }
  return result;
}

// All elements must be in the storage, which has at least as many.
void check_place(const PickledTensor& tensor, std::int64_t all) {
  const auto refuse = [&](const char* why) {
    refuse_pickle(fmt::format("has a tensor {} at offset {} of a storage of {} elements: {}",
                              to_string(tensor.shape), tensor.offset, all, why));
  };
  if (tensor.offset < 0) refuse("the offset is negative");
  for (int axis = 0; axis < tensor.shape.rank(); ++axis) {
    if (tensor.strides[static_cast<std::size_t>(axis)] < 0) refuse("a stride is negative");
  }
  if (tensor.shape.elements() == 0) return;
  if (tensor.shape.elements() > all) refuse("it would have more elements");
  std::int64_t last = tensor.offset;
  for (int axis = 0; axis < tensor.shape.rank(); ++axis) {
    std::int64_t reach = 0;
    if (__builtin_mul_overflow(tensor.shape[axis] - 1, tensor.strides[static_cast<std::size_t>(axis)],
                               &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      refuse("its strides lead beyond it");
    }
  }
  if (last >= all) refuse("its strides lead beyond it");
}

}  // namespace

void refuse_pickle(const std::string& what) {
  throw FormatError("its pickle " + what, "the file is damaged, or no state dict that torch.save() wrote");
}

std::string described(const PickleValue& value) {
  switch (value.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return "a bool";
    case Kind::whole:
      return "a whole number";
    case Kind::text:
      return "a text";
    case Kind::tuple:
      return "a tuple";
    case Kind::list:
      return "a list";
    case Kind::dict:
      return "a dict";
    case Kind::function:
      return fmt::format("'{}'", callable_at(value.place).name);
    case Kind::storage:
      return "a storage";
    case Kind::tensor:
      return "a tensor";
    case Kind::mark:
      return "a mark";
    case Kind::other:
      break;
  }
  return "plain data";
}

constexpr std::size_t kMostKey = 60;  // bytes; PyTorch counts from 0

PickledStorage storage_of(const Pickle& pickle, const PickleValue& id) {
  const std::vector<PickleValue>& parts = pickle.sequences[id.place];
  const bool is_storage =
      parts.size() == 5 && parts[0].kind == Kind::text && parts[0].text == "storage" &&
      parts[1].kind == Kind::function && callable_at(parts[1].place).means == Callable::Means::storage_type &&
      parts[2].kind == Kind::text && parts[3].kind == Kind::text && parts[4].kind == Kind::whole &&
      parts[2].text.size() <= kMostKey && parts[4].whole >= 0 && parts[4].whole <= Shape::kMaxElements;
  if (!is_storage) refuse_pickle("has a persistent id that is no storage's");
  return {callable_at(parts[1].place).type, parts[2].text, parts[4].whole};
}

PickledTensor tensor_of(const Pickle& pickle, const std::vector<PickleValue>& arguments) {
  if (arguments.size() < 6 || arguments.size() > 7 || arguments[0].kind != Kind::storage ||
      arguments[1].kind != Kind::whole || arguments[2].kind != Kind::tuple ||
      arguments[3].kind != Kind::tuple) {
    refuse_pickle("makes a tensor of something else than a storage, an offset, sizes and strides");
  }
  // PyTorch gives a seventh where marks beside the numbers change them: {"neg": True}, {"conj": True}.
  if (arguments.size() == 7 && arguments[6].kind != Kind::none &&
      !(arguments[6].kind == Kind::dict && pickle.dicts[arguments[6].place].empty())) {
    throw FormatError("its pickle has a tensor that is marked as negated or conjugated",
                      "in PyTorch, save tensor.resolve_neg() in its place");
  }
  PickledTensor tensor;
  tensor.storage = arguments[0].place;
  tensor.offset = arguments[1].whole;
  const std::vector<std::int64_t> sizes = wholes_of(pickle, arguments[2]),
                                  strides = wholes_of(pickle, arguments[3]);
  if (sizes.size() != strides.size())
    refuse_pickle(fmt::format("has a tensor of {} sizes and {} strides", sizes.size(), strides.size()));
  try {
    tensor.shape = Shape(sizes);
  } catch (const ShapeError& error) {
    refuse_pickle(fmt::format("has a tensor of an impossible shape: {}", error.what()));
  }
  std::ranges::copy(strides, tensor.strides.begin());
  check_place(tensor, pickle.storages[tensor.storage].elements);
  return tensor;
}

}  // namespace resnet::io
