#include "io/safetensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"

namespace resnet::io {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and written as they lie");

constexpr std::size_t kLengthBytes = 8;                      // of the header's length
constexpr std::size_t kMostHeader = std::size_t{8} << 20U;   // the format allows 100 MB; ResNet-152's has 0.4
constexpr std::size_t kMostTensors = std::size_t{1} << 14U;  // ResNet-152 has 932
constexpr std::size_t kMostTexts = std::size_t{1} << 10U;    // of the metadata
constexpr std::size_t kAlignment = 8;                        // of the data, and the widest element
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr JsonLimits kHeaderLimits = {.bytes = kMostHeader, .text = kMostHeader};  // a graph is one text

struct Name {
  DType dtype;
  std::string_view text;
};
constexpr std::array<Name, 5> kNames = {
    {{DType::f32, "F32"}, {DType::f64, "F64"}, {DType::i32, "I32"}, {DType::i64, "I64"}, {DType::u8, "U8"}}};

constexpr std::string_view kNoName = "?";  // of what no file holds

std::optional<DType> dtype_named(std::string_view text) {
  for (const Name& name : kNames) {
    if (name.text == text) return name.dtype;
  }
  return std::nullopt;
}

constexpr std::size_t kMostShown = 100;  // bytes, in a message

std::string shown(const Json& value) {
  return resnet::shown(value.dump({.replace = true}), kMostShown);
}

// A name of the file for a message.
std::string quoted(const std::string& name) {
  return "'" + resnet::shown(name, kMostShown) + "'";
}

// ---- writing

// The tensors' places in the file: widest elements first, otherwise as given.
std::vector<std::size_t> data_order(const NamedTensors& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return size_of(tensors[a].second.dtype()) > size_of(tensors[b].second.dtype());
  });
  return order;
}

void check_names(const std::string& file, const NamedTensors& tensors) {
  std::unordered_set<std::string_view> seen;
  for (const auto& [name, tensor] : tensors) {
    if (name == kMetadataKey) throw FormatError(fmt::format("{}: a tensor cannot be called {}", file, name));
    if (!seen.insert(name).second) {
      throw FormatError(fmt::format("{}: two tensors are called {}", file, quoted(name)));
    }
    if (safetensors_name(tensor.dtype()) == kNoName) {
      throw FormatError(fmt::format("{}: tensor {} is {}", file, quoted(name), name_of(tensor.dtype())),
                        "F32, F64, I32, I64 and U8 are written");
    }
  }
  if (tensors.size() > kMostTensors) {
    throw FormatError(
        fmt::format("{}: {} tensors; at most {} fit a file", file, tensors.size(), kMostTensors));
  }
}

// The length and the header, padded so that the data begin aligned.
std::string make_header(const std::string& file, const NamedTensors& tensors,
                        const std::vector<std::size_t>& order, const Metadata& metadata) {
  std::vector<std::uint64_t> begins(tensors.size());
  std::uint64_t end = 0;
  for (const std::size_t i : order) {
    begins[i] = end;
    end += tensors[i].second.bytes();
  }
  Json header = Json::object();
  if (!metadata.empty()) {
    Json texts = Json::object();
    for (const auto& [key, text] : metadata) texts.add(key, text);
    header.add(std::string(kMetadataKey), std::move(texts));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    header.add(name, Json::object(
                         {{"dtype", safetensors_name(tensor.dtype())},
                          {"shape", Json::list(tensor.shape())},
                          {"data_offsets", Json::list(std::array{begins[i], begins[i] + tensor.bytes()})}}));
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

// ---- reading

struct Entry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0, end = 0;  // in the data
};

// Reads one file from its beginning on. A Source has size(), and read(bytes), which gives how many it
// filled.
template <class Source>
class Reader {
 public:
  Reader(Source& source, std::string file) : source_(source), file_(std::move(file)) {}

  Safetensors read() {
    const Json header = read_header();
    Safetensors result;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.members()) {
      if (name == kMetadataKey) {
        result.metadata = metadata_of(value);
      } else {
        if (entries.size() == kMostTensors) fail(fmt::format("more than {} tensors", kMostTensors));
        entries.push_back(entry_of(name, value));
      }
    }
    for (const Entry& entry : entries) {
      result.tensors.emplace_back(entry.name, Tensor());
    }
    for (const std::size_t i : data_order_of(entries)) {
      Tensor tensor(entries[i].shape, entries[i].dtype);
      fill({tensor.raw(), tensor.bytes()});
      result.tensors[i].second = std::move(tensor);
    }
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const {
    throw FormatError(fmt::format("{}: {}", file_, what),
                      hint.empty() ? "is it a safetensors file, and was it copied completely?" : hint);
  }

  void fill(std::span<std::byte> bytes) {
    if (source_.read(bytes) != bytes.size()) fail("it ended while it was being read");
  }

  Json read_header() {
    const auto size = static_cast<std::uint64_t>(source_.size());
    if (size < kLengthBytes) fail(fmt::format("{} bytes are too few for a safetensors file", size));
    std::uint64_t length = 0;
    fill(std::as_writable_bytes(std::span(&length, 1)));
    if (length > size - kLengthBytes) {
      fail(fmt::format("its header would have {} bytes, the file has {}", length, size));
    }
    if (length > kMostHeader) fail(fmt::format("a header of {} bytes; at most {}", length, kMostHeader));
    std::string text(length, '\0');
    fill(std::as_writable_bytes(std::span(text)));
    data_bytes_ = size - kLengthBytes - length;
    text.resize(text.find_last_not_of(' ') + 1);  // padding
    if (!text.starts_with('{') || !text.ends_with('}'))
      fail("the header does not begin with '{' and end with '}'");
    try {
      return parse_json(text, kHeaderLimits);
    } catch (const FormatError& error) {
      fail(fmt::format("header: {}", error.what()), error.hint());
    }
  }

  Metadata metadata_of(const Json& value) const {
    if (!value.is_object()) fail(fmt::format("{} is not an object", kMetadataKey));
    if (value.size() > kMostTexts) fail(fmt::format("{} with more than {} texts", kMetadataKey, kMostTexts));
    Metadata metadata;
    for (const auto& [key, text] : value.members()) {
      if (!text.is_text()) fail(fmt::format("{}: {} is not a text", kMetadataKey, quoted(key)));
      metadata[key] = text.text();
    }
    return metadata;
  }

  Entry entry_of(const std::string& name, const Json& value) const {
    const std::string who = "tensor " + quoted(name);
    const Json* const dtype = value.find("dtype");
    const Json* const shape = value.find("shape");
    const Json* const range = value.find("data_offsets");
    if (value.size() != 3 || dtype == nullptr || shape == nullptr || range == nullptr) {
      fail(fmt::format("{}: expected exactly dtype, shape and data_offsets, got {}", who, shown(value)));
    }
    Entry entry;
    entry.name = name;
    entry.dtype = dtype_of(who, *dtype);
    entry.shape = shape_of(who, *shape);
    // A Shape has at most 2^40 elements: no overflow.
    const std::uint64_t bytes = static_cast<std::uint64_t>(entry.shape.elements()) * size_of(entry.dtype);
    const Json& offsets = *range;
    if (!offsets.is_list() || offsets.size() != 2 || !offsets[0].is_natural() || !offsets[1].is_natural()) {
      fail(fmt::format("{}: data_offsets are two whole numbers, got {}", who, shown(offsets)));
    }
    entry.begin = offsets[0].natural();
    entry.end = offsets[1].natural();
    if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
      fail(fmt::format("{}: {} {} takes {} bytes, data_offsets are {}", who, safetensors_name(entry.dtype),
                       to_string(entry.shape), bytes, shown(offsets)));
    }
    if (entry.end > data_bytes_) {
      fail(fmt::format("{}: its data end at byte {}, the file holds {}", who, entry.end, data_bytes_));
    }
    return entry;
  }

  DType dtype_of(const std::string& who, const Json& value) const {
    if (!value.is_text()) fail(fmt::format("{}: dtype is not a text: {}", who, shown(value)));
    const std::string& text = value.text();
    const std::optional<DType> dtype = dtype_named(text);
    if (!dtype) {
      fail(fmt::format("{}: dtype {} is not supported", who, quoted(text)),
           "F32, F64, I32, I64 and U8 are; in PyTorch, tensor.float() makes F32 of F16 and BF16");
    }
    return *dtype;
  }

  Shape shape_of(const std::string& who, const Json& value) const {
    std::vector<std::int64_t> extents;
    bool whole = value.is_list();
    if (whole) {
      for (const Json& extent : value.elements()) {
        if (!extent.is_natural() || !extent.is_whole()) {
          whole = false;
          break;
        }
        extents.push_back(extent.whole());
      }
    }
    if (!whole) fail(fmt::format("{}: shape is a list of whole numbers, got {}", who, shown(value)));
    try {
      return Shape(extents);
    } catch (const ShapeError& error) {  // too many axes, or their product overflows
      fail(fmt::format("{}: {}", who, error.what()),
           "networks here have tensors of at most six axes and 2^40 elements");
    }
  }

  // The tensors as their data follow each other, which must cover the file exactly: no hole, no
  // overlap, nothing behind.
  std::vector<std::size_t> data_order_of(const std::vector<Entry>& entries) const {
    std::vector<std::size_t> order(entries.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(entries[a].begin, entries[a].end) < std::pair(entries[b].begin, entries[b].end);
    });
    std::uint64_t end = 0;
    for (const std::size_t i : order) {
      const Entry& entry = entries[i];
      if (entry.begin != end) {
        fail(fmt::format("tensor {} begins at byte {} of the data where {} was expected: {}",
                         quoted(entry.name), entry.begin, end,
                         entry.begin > end ? "a hole" : "tensors overlap"));
      }
      end = entry.end;
    }
    if (end != data_bytes_) fail(fmt::format("{} bytes of data, the tensors take {}", data_bytes_, end));
    return order;
  }

  Source& source_;
  std::string file_;
  std::uint64_t data_bytes_ = 0;  // behind the header
};

class MemorySource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes), left_(bytes) {}
  std::size_t size() const { return bytes_.size(); }
  std::size_t read(std::span<std::byte> out) {
    const std::size_t count = std::min(out.size(), left_.size());
    std::copy_n(left_.begin(), count, out.begin());
    left_ = left_.subspan(count);
    return count;
  }

 private:
  std::span<const std::byte> bytes_, left_;
};

}  // namespace

std::string_view safetensors_name(DType dtype) {
  for (const Name& name : kNames) {
    if (name.dtype == dtype) return name.text;
  }
  return kNoName;
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  MemorySource source(bytes);
  return Reader(source, name).read();
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata, const KnownFolder* folder) {
  const std::string file = path.string();
  check_names(file, tensors);
  const std::vector<std::size_t> order = data_order(tensors);
  const std::string header = make_header(file, tensors, order, metadata);
  std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(header))};
  for (const std::size_t i : order) parts.emplace_back(tensors[i].second.raw(), tensors[i].second.bytes());
  write_file(path, parts, Durability::read_back, folder);
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  InputFile file(path);
  return Reader(file, path.string()).read();
}

}  // namespace resnet::io
