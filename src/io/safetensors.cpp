#include "io/safetensors.h"

#include <fmt/format.h>

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

namespace resnet::io {
namespace {

using nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "files are little-endian and written as they lie");

constexpr std::size_t kLengthBytes = 8;                      // of the header's length
constexpr std::size_t kMostHeader = std::size_t{16} << 20U;  // the format allows 100 MB
constexpr std::size_t kMostTensors = std::size_t{1} << 14U;  // ResNet-152 has 932
constexpr std::size_t kAlignment = 8;                        // of the data, and the widest element
constexpr std::string_view kMetadataKey = "__metadata__";

struct Name {
  DType dtype;
  std::string_view text;
};
constexpr std::array<Name, 5> kNames = {
    {{DType::f32, "F32"}, {DType::f64, "F64"}, {DType::i32, "I32"}, {DType::i64, "I64"}, {DType::u8, "U8"}}};

std::optional<DType> dtype_named(std::string_view text) {
  for (const Name& name : kNames) {
    if (name.text == text) return name.dtype;
  }
  return std::nullopt;
}

// A text of the file for a message: ASCII with escapes, in quotes, not too much of it.
std::string quoted(const std::string& text) {
  constexpr std::size_t kMost = 100;
  std::string ascii = ordered_json(text).dump(-1, ' ', true, ordered_json::error_handler_t::replace);
  ascii = ascii.substr(1, ascii.size() - 2);
  if (ascii.size() > kMost) ascii = ascii.substr(0, kMost) + "...";
  return "'" + ascii + "'";
}

// A JSON value for a message.
std::string shown(const ordered_json& value) {
  constexpr std::size_t kMost = 60;
  const std::string text = value.dump(-1, ' ', true);
  return text.size() > kMost ? text.substr(0, kMost) + "..." : text;
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
  ordered_json header = ordered_json::object();
  auto& members = *header.get_ptr<ordered_json::object_t*>();  // appended to: that names are new is checked
  if (!metadata.empty()) members.push_back({std::string(kMetadataKey), metadata});
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    ordered_json entry = {
        {"dtype", safetensors_name(tensor.dtype())},
        {"shape", std::vector<std::int64_t>(tensor.shape().begin(), tensor.shape().end())},
        {"data_offsets", std::vector<std::uint64_t>{begins[i], begins[i] + tensor.bytes()}}};
    members.push_back({name, std::move(entry)});
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const ordered_json::type_error&) {
    throw FormatError(fmt::format("{}: a name or a text of the metadata is not UTF-8", file));
  }
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  if (text.size() > kMostHeader) {
    throw FormatError(fmt::format("{}: a header of {} bytes; at most {}", file, text.size(), kMostHeader));
  }
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

// Reads one file through `Source`: size(), and read(offset, bytes), which fills them all or throws.
template <class Source>
class Reader {
 public:
  Reader(Source& source, std::string file) : source_(source), file_(std::move(file)) {}

  Safetensors read() {
    const ordered_json header = read_header();
    Safetensors result;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadataKey) {
        result.metadata = metadata_of(value);
      } else {
        if (entries.size() == kMostTensors) fail(fmt::format("more than {} tensors", kMostTensors));
        entries.push_back(entry_of(name, value));
      }
    }
    check_ranges(entries);
    for (Entry& entry : entries) {
      Tensor tensor(entry.shape, entry.dtype);
      if (tensor.bytes() > 0) source_.read(data_begin_ + entry.begin, {tensor.raw(), tensor.bytes()});
      result.tensors.emplace_back(std::move(entry.name), std::move(tensor));
    }
    return result;
  }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& hint = {}) const {
    throw FormatError(fmt::format("{}: {}", file_, what),
                      hint.empty() ? "is it a safetensors file, and was it copied completely?" : hint);
  }

  ordered_json read_header() {
    const std::uint64_t size = source_.size();
    if (size < kLengthBytes) fail(fmt::format("{} bytes are too few for a safetensors file", size));
    std::uint64_t length = 0;
    source_.read(0, std::as_writable_bytes(std::span(&length, 1)));
    if (length > size - kLengthBytes) {
      fail(fmt::format("its header would have {} bytes, the file has {}", length, size));
    }
    if (length > kMostHeader) fail(fmt::format("a header of {} bytes; at most {}", length, kMostHeader));
    std::string text(length, '\0');
    source_.read(kLengthBytes, std::as_writable_bytes(std::span(text)));
    data_begin_ = kLengthBytes + length;
    data_bytes_ = size - data_begin_;
    text.resize(text.find_last_not_of(' ') + 1);  // padding
    if (!text.starts_with('{') || !text.ends_with('}'))
      fail("the header does not begin with '{' and end with '}'");
    try {
      return parse_ordered_json(text, {.bytes = kMostHeader});
    } catch (const FormatError& error) {
      fail(fmt::format("header: {}", error.what()), error.hint());
    }
  }

  Metadata metadata_of(const ordered_json& value) const {
    if (!value.is_object()) fail(fmt::format("{} is not an object", kMetadataKey));
    Metadata metadata;
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail(fmt::format("{}: {} is not a text", kMetadataKey, quoted(key)));
      metadata[key] = text.template get<std::string>();
    }
    return metadata;
  }

  Entry entry_of(const std::string& name, const ordered_json& value) const {
    const std::string who = "tensor " + quoted(name);
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
        !value.contains("data_offsets")) {
      fail(fmt::format("{}: expected exactly dtype, shape and data_offsets, got {}", who, shown(value)));
    }
    Entry entry;
    entry.name = name;
    entry.dtype = dtype_of(who, value.at("dtype"));
    entry.shape = shape_of(who, value.at("shape"));
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(entry.shape.elements()), size_of(entry.dtype),
                               &bytes)) {
      fail(fmt::format("{}: the size of shape {} overflows 64 bits", who, to_string(entry.shape)));
    }
    const ordered_json& offsets = value.at("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail(fmt::format("{}: data_offsets are two whole numbers, got {}", who, shown(offsets)));
    }
    entry.begin = offsets[0].template get<std::uint64_t>();
    entry.end = offsets[1].template get<std::uint64_t>();
    if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
      fail(fmt::format("{}: {} {} takes {} bytes, data_offsets are {}", who, safetensors_name(entry.dtype),
                       to_string(entry.shape), bytes, shown(offsets)));
    }
    if (entry.end > data_bytes_) {
      fail(fmt::format("{}: its data end at byte {}, the file holds {}", who, entry.end, data_bytes_));
    }
    return entry;
  }

  DType dtype_of(const std::string& who, const ordered_json& value) const {
    if (!value.is_string()) fail(fmt::format("{}: dtype is not a text: {}", who, shown(value)));
    const auto text = value.template get<std::string>();
    const std::optional<DType> dtype = dtype_named(text);
    if (!dtype) {
      fail(fmt::format("{}: dtype {} is not supported", who, quoted(text)),
           "F32, F64, I32, I64 and U8 are; in PyTorch, tensor.float() makes F32 of F16 and BF16");
    }
    return *dtype;
  }

  Shape shape_of(const std::string& who, const ordered_json& value) const {
    std::vector<std::int64_t> extents;
    bool whole = value.is_array();
    if (whole) {
      for (const ordered_json& extent : value) {
        if (!extent.is_number_unsigned() || extent.template get<std::uint64_t>() > INT64_MAX) {
          whole = false;
          break;
        }
        extents.push_back(extent.template get<std::int64_t>());
      }
    }
    if (!whole) fail(fmt::format("{}: shape is a list of whole numbers, got {}", who, shown(value)));
    try {
      return Shape(extents);
    } catch (const ShapeError& error) {  // too many axes, or their product overflows
      fail(fmt::format("{}: {}", who, error.what()), "networks here have tensors of at most six axes");
    }
  }

  // The ranges must cover the data exactly: no hole, no overlap, nothing behind.
  void check_ranges(const std::vector<Entry>& entries) const {
    std::vector<const Entry*> sorted;
    for (const Entry& entry : entries) sorted.push_back(&entry);
    std::sort(sorted.begin(), sorted.end(), [](const Entry* a, const Entry* b) {
      return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
    });
    std::uint64_t end = 0;
    for (const Entry* entry : sorted) {
      if (entry->begin != end) {
        fail(fmt::format("tensor {} begins at byte {} of the data where {} was expected: {}",
                         quoted(entry->name), entry->begin, end,
                         entry->begin > end ? "a hole" : "tensors overlap"));
      }
      end = entry->end;
    }
    if (end != data_bytes_) {
      fail(fmt::format("{} bytes of data, the tensors take {}", data_bytes_, end));
    }
  }

  Source& source_;
  std::string file_;
  std::uint64_t data_begin_ = 0, data_bytes_ = 0;
};

class MemorySource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint64_t size() const { return bytes_.size(); }
  void read(std::uint64_t offset, std::span<std::byte> to) const {
    std::memcpy(to.data(), bytes_.data() + offset, to.size());
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace

std::string_view safetensors_name(DType dtype) {
  for (const Name& name : kNames) {
    if (name.dtype == dtype) return name.text;
  }
  return "?";
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  MemorySource source(bytes);
  return Reader(source, name).read();
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata) {
  const std::string file = path.string();
  check_names(file, tensors);
  const std::vector<std::size_t> order = data_order(tensors);
  const std::string header = make_header(file, tensors, order, metadata);
  std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(header))};
  for (const std::size_t i : order) parts.emplace_back(tensors[i].second.raw(), tensors[i].second.bytes());
  write_file(path, parts);
}

Safetensors read_safetensors(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return parse_safetensors(bytes, path.string());
}

}  // namespace resnet::io
