// Writing of safetensors.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "io/safetensors.h"
#include "io/safetensors_limits.h"

namespace resnet::io {
namespace {

constexpr std::size_t kAlignment = 8;  // of the data, and the widest element

// The tensors' places in the file: widest elements first, otherwise as given.
std::vector<std::size_t> data_order(std::span<const StoredTensor> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return tensors[a].element > tensors[b].element; });
  return order;
}

void check_names(const std::string& file, std::span<const StoredTensor> tensors) {
  std::set<std::string_view> seen;
  for (const StoredTensor& tensor : tensors) {
    const std::string name(tensor.name);
    if (name == kMetadataKey) throw FormatError(fmt::format("{}: a tensor cannot be called {}", file, name));
    if (!seen.insert(tensor.name).second) {
      throw FormatError(fmt::format("{}: two tensors are called {}", file, in_quotes(name)));
    }
    if (tensor.dtype == kNoTypeName) {
      throw FormatError(fmt::format("{}: tensor {} is of a type that no file holds", file, in_quotes(name)),
                        "F32, F64, I32, I64, U8, F16 and BF16 are written");
    }
  }
  if (tensors.size() > kMostTensors) {
    throw FormatError(
        fmt::format("{}: {} tensors; at most {} fit a file", file, tensors.size(), kMostTensors));
  }
}

// The length and the header, padded so that the data begin aligned.
std::string make_header(const std::string& file, std::span<const StoredTensor> tensors,
                        const std::vector<std::size_t>& order, const Metadata& metadata) {
  std::vector<std::uint64_t> begins(tensors.size());
  std::uint64_t end = 0;
  for (const std::size_t i : order) {
    begins[i] = end;
    end += tensors[i].bytes.size();
  }
  Json header = Json::object();
  if (!metadata.empty()) {
    Json texts = Json::object();
    for (const auto& [key, text] : metadata) texts.add(key, text);
    header.add(std::string(kMetadataKey), std::move(texts));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    const std::array offsets = {begins[i], begins[i] + tensor.bytes.size()};
    header.add(std::string(tensor.name), Json::object({{"dtype", tensor.dtype},
                                                       {"shape", Json::list(tensor.shape)},
                                                       {"data_offsets", Json::list(offsets)}}));
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const FormatError&) {
    throw FormatError(fmt::format("{}: a name or a text of the metadata is not UTF-8", file));
  }
  try {
    static_cast<void>(parse_json(text, kHeaderLimits));  // nothing is written that would not be read
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: header: {}", file, error.what()), "a name may be too long");
  }
  static_assert(kMostHeader % kAlignment == 0, "padding does not make it too long");
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const std::uint64_t length = text.size();
  std::string result(kLengthBytes, '\0');
  std::memcpy(result.data(), &length, sizeof length);
  return result + text;
}

}  // namespace

void write_stored(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                  const Metadata& metadata, const KnownFolder* folder) {
  const std::string file = path.string();
  check_names(file, tensors);
  const std::vector<std::size_t> order = data_order(tensors);
  const std::string header = make_header(file, tensors, order, metadata);
  std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(header))};
  for (const std::size_t i : order) parts.push_back(tensors[i].bytes);
  write_file(path, parts, Durability::read_back, folder);
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata, const KnownFolder* folder) {
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors) {
    stored.push_back({name,
                      safetensors_name(tensor.dtype()),
                      size_of(tensor.dtype()),
                      tensor.shape(),
                      {tensor.raw(), tensor.bytes()}});
  }
  write_stored(path, stored, metadata, folder);
}

}  // namespace resnet::io
