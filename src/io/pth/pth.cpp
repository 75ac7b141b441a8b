#include "io/pth/pth.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "base/text.h"
#include "io/pth/pickle.h"
#include "io/pth/zip.h"
#include "io/safetensors_limits.h"
#include "resnet/error.h"

namespace resnet::io {
namespace {

using Kind = PickleValue::Kind;

constexpr std::size_t kMostPthName = 1024;
constexpr std::int64_t kMostSharing = 4;  // elements of all tensors for each that is stored
constexpr std::size_t kShownKey = 60;

const char* const kSaveStateDict = "save the weights alone in PyTorch: torch.save(model.state_dict(), FILE)";

// ---- the archive

// What stands in front of its entries' names: "archive/" of "archive/data.pkl".
std::string prefix_of(const ZipArchive& archive) {
  constexpr std::string_view kPickle = "data.pkl";
  std::string prefix;
  bool found = false, script = false;
  for (const std::string_view name : archive.names()) {
    const std::size_t slash = name.find('/');
    const std::string_view inner = slash == std::string_view::npos ? name : name.substr(slash + 1);
    script = script || inner == "constants.pkl" || inner.starts_with("code/");
    if (inner != kPickle) continue;
    if (found) throw FormatError("its zip archive has two of 'data.pkl'", kSaveStateDict);
    found = true;
    prefix = name.substr(0, name.size() - kPickle.size());
  }
  if (script) throw FormatError("it is a TorchScript archive, which is code", kSaveStateDict);
  if (!found)
    throw FormatError("it is a zip archive, and none of PyTorch's: it has no 'data.pkl'", kSaveStateDict);
  return prefix;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- which dict is the state dict

// In the order of choice. Averaged weights come first, as timm's load_state_dict() takes them: they are what
// such a training evaluates.
constexpr std::array<std::string_view, 16> kWrappers = {"state_dict_ema",
                                                        "model_ema",
                                                        "ema_state_dict",
                                                        "model_ema_state_dict",
                                                        "params_ema",
                                                        "ema",
                                                        "state_dict",
                                                        "model_state_dict",
                                                        "model_state",
                                                        "model",
                                                        "net",
                                                        "network",
                                                        "module",
                                                        "weights",
                                                        "params",
                                                        "teacher"};
constexpr int kMostWrappers = 4;  // in one another

std::string quoted_key(std::string_view key) {
  return in_quotes(key, kShownKey);
}

// The first keys of a dict, for a message.
std::string keys_of(const Pickle::Dict& dict) {
  constexpr std::size_t kMost = 4;
  std::string result;
  for (std::size_t i = 0; i < std::min(dict.size(), kMost); ++i) {
    const PickleValue& key = dict[i].first;
    result += (i > 0 ? ", " : "") + (key.kind == Kind::text ? quoted_key(key.text) : described(key));
  }
  return result + (dict.size() > kMost ? ", ..." : "");
}

bool has_tensors(const Pickle::Dict& dict) {
  return std::ranges::any_of(dict, [](const auto& item) { return item.second.kind == Kind::tensor; });
}

[[noreturn]] void refuse_twice(std::string_view name) {
  throw FormatError(fmt::format("its dict has the name {} twice", quoted_key(name)), kSaveStateDict);
}

// The dict that is called `name`; null where there is none. Python has a name once.
const PickleValue* dict_called(std::string_view name, const Pickle::Dict& dict) {
  const PickleValue* result = nullptr;
  for (const auto& [key, value] : dict) {
    if (key.kind != Kind::text || key.text != name) continue;
    if (result != nullptr) refuse_twice(name);
    result = &value;
  }
  return result != nullptr && result->kind == Kind::dict ? result : nullptr;
}

// The dict of tensors within the pickle's value; what was taken off on the way is noted.
const Pickle::Dict& state_dict_of(const Pickle& pickle, std::vector<std::string>& notes) {
  PickleValue value = pickle.root;
  for (int depth = 0;; ++depth) {
    if (value.kind != Kind::dict)
      throw FormatError(fmt::format("it holds {}, not a state dict", described(value)), kSaveStateDict);
    const Pickle::Dict& dict = pickle.dicts[value.place];
    // A trainer's best accuracy may be a tensor, too, beside the state dict.
    const bool own = has_tensors(dict);
    const PickleValue* inner = nullptr;
    std::string taken, other;
    for (const std::string_view wrapper : kWrappers) {
      const PickleValue* found = dict_called(wrapper, dict);
      if (found == nullptr) continue;
      const Pickle::Dict& held = pickle.dicts[found->place];
      if (own ? !has_tensors(held) : held.empty()) continue;
      if (inner == nullptr) {
        inner = found;
        taken = wrapper;
      } else if (other.empty()) {
        other = wrapper;
      }
    }
    if (own && (inner == nullptr || depth == kMostWrappers)) return dict;
    if (inner == nullptr || depth == kMostWrappers) {
      throw FormatError(dict.empty() ? "its state dict is empty"
                                     : fmt::format("it has no state dict, but {}", keys_of(dict)),
                        kSaveStateDict);
    }
    notes.push_back(other.empty()
                        ? fmt::format("'{}' was taken of {}", taken, keys_of(dict))
                        : fmt::format("'{}' was taken of {}, and not '{}'", taken, keys_of(dict), other));
    value = *inner;
  }
}

// ---- tensors

class TensorReader {
 public:
  TensorReader(ZipArchive& archive, std::string prefix, const Pickle& pickle)
      : archive_(archive), prefix_(std::move(prefix)), pickle_(pickle) {}

  // All of `wanted`, places in the pickle: one storage after the other, so that each is unpacked once.
  std::vector<Tensor> read(const std::vector<std::uint32_t>& wanted) {
    std::vector<std::vector<std::size_t>> of_storage(pickle_.storages.size());
    for (std::size_t i = 0; i < wanted.size(); ++i)
      of_storage[pickle_.tensors[wanted[i]].storage].push_back(i);
    std::vector<Tensor> result(wanted.size());
    for (std::size_t s = 0; s < of_storage.size(); ++s) {
      if (of_storage[s].empty()) continue;
      const std::span<const std::byte> bytes = storage(pickle_.storages[s]);
      std::int64_t left = kMostSharing * pickle_.storages[s].elements;
      for (const std::size_t i : of_storage[s]) {
        const PickledTensor& view = pickle_.tensors[wanted[i]];
        left -= view.shape.elements();
        if (left < 0) {
          throw FormatError(fmt::format("its tensors have more than {} times the elements of storage {}",
                                        kMostSharing, quoted_key(pickle_.storages[s].key)),
                            kSaveStateDict);
        }
        result[i] = tensor(view, bytes);
      }
    }
    return result;
  }

 private:
  std::span<const std::byte> storage(const PickledStorage& storage) {
    const std::string name = fmt::format("{}data/{}", prefix_, storage.key);
    if (!archive_.has(name)) {
      throw FormatError(fmt::format("its zip archive has no entry {} for a storage", quoted_key(name)),
                        "the file is damaged, or not copied completely");
    }
    const std::span<const std::byte> bytes = archive_.read(name);
    const std::uint64_t wanted = static_cast<std::uint64_t>(storage.elements) * size_of(storage.type);
    if (bytes.size() != wanted) {
      throw FormatError(fmt::format("storage {} has {} bytes; {} {} take {}", quoted_key(storage.key),
                                    bytes.size(), storage.elements, name_of(storage.type), wanted),
                        "the file is damaged, or not copied completely");
    }
    return bytes;
  }

  Tensor tensor(const PickledTensor& view, std::span<const std::byte> bytes) const {
    const StoredType type = pickle_.storages[view.storage].type;
    Tensor result(view.shape, widened(type));
    if (result.empty()) return result;
    const std::size_t size = size_of(type);
    const auto begin = static_cast<std::size_t>(view.offset) * size;
    if (is_contiguous(view)) {
      widen(type, bytes.subspan(begin, static_cast<std::size_t>(view.shape.elements()) * size), result.raw());
    } else {
      widen(type, gathered(view, bytes.subspan(begin), size), result.raw());
    }
    return result;
  }

  static bool is_contiguous(const PickledTensor& view) {
    std::int64_t expected = 1;
    for (int axis = view.shape.rank(); axis-- > 0;) {
      if (view.shape[axis] != 1 && view.strides[static_cast<std::size_t>(axis)] != expected) return false;
      expected *= view.shape[axis];
    }
    return true;
  }

  // The elements of a view in the order of its axes.
  static std::vector<std::byte> gathered(const PickledTensor& view, std::span<const std::byte> bytes,
                                         std::size_t size) {
    std::vector<std::byte> result(static_cast<std::size_t>(view.shape.elements()) * size);
    std::array<std::int64_t, Shape::kMaxRank> at{};
    std::int64_t place = 0;  // of the element, from the view's first
    for (std::byte* to = result.data(); to != result.data() + result.size(); to += size) {
      std::memcpy(to, bytes.data() + static_cast<std::size_t>(place) * size, size);
      for (int axis = view.shape.rank(); axis-- > 0;) {
        if (view.shape[axis] == 1) continue;  // its stride may be any number
        const auto a = static_cast<std::size_t>(axis);
        place += view.strides[a];
        if (++at[a] < view.shape[axis]) break;
        place -= at[a] * view.strides[a];
        at[a] = 0;
      }
    }
    return result;
  }

  ZipArchive& archive_;
  std::string prefix_;
  const Pickle& pickle_;
};

std::string checked_name(const PickleValue& key) {
  if (key.kind != Kind::text)
    throw FormatError(fmt::format("its state dict has {} for a name", described(key)), kSaveStateDict);
  if (key.text.size() > kMostPthName || !is_utf8(key.text)) {
    throw FormatError(
        fmt::format("a tensor's name has {} bytes; at most {}, of UTF-8", key.text.size(), kMostPthName),
        kSaveStateDict);
  }
  return std::string(key.text);
}

}  // namespace

PthFile read_pth(std::span<const std::byte> bytes) {
  ZipArchive archive(bytes);
  const std::string prefix = prefix_of(archive);
  if (archive.has(prefix + "byteorder") && text_of(archive.read(prefix + "byteorder")) != "little") {
    throw FormatError("its numbers are big-endian, from a machine of another kind",
                      "save it once more on a little-endian machine");
  }
  const std::string bytes_of_pickle(text_of(archive.read(prefix + "data.pkl")));
  const Pickle pickle = read_pickle(bytes_of_pickle);
  PthFile result;
  const Pickle::Dict& dict = state_dict_of(pickle, result.notes);
  std::set<std::string_view> known;
  std::vector<std::uint32_t> wanted;
  std::string left_out;
  for (const auto& [key, value] : dict) {
    if (key.kind == Kind::text && !known.insert(key.text).second) refuse_twice(key.text);
    if (value.kind != Kind::tensor) {
      if (left_out.empty()) left_out = key.kind == Kind::text ? quoted_key(key.text) : described(key);
      continue;
    }
    if (wanted.size() == kMostTensors)
      throw FormatError(fmt::format("its state dict has more than {} tensors", kMostTensors), kSaveStateDict);
    result.tensors.emplace_back(checked_name(key), Tensor());
    wanted.push_back(value.place);
    const StoredType type = pickle.storages[pickle.tensors[value.place].storage].type;
    if (is_widened(type)) ++result.widened[std::string(name_of(type))];
  }
  std::vector<Tensor> tensors = TensorReader(archive, prefix, pickle).read(wanted);
  for (std::size_t i = 0; i < tensors.size(); ++i) result.tensors[i].second = std::move(tensors[i]);
  if (!left_out.empty()) {
    result.notes.push_back(fmt::format("{} entries that are no tensors were left out, such as {}",
                                       dict.size() - wanted.size(), left_out));
  }
  return result;
}

}  // namespace resnet::io
