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

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "io/file_kind.h"
#include "io/safetensors_limits.h"
#include "io/stored_type.h"

namespace resnet::io {
namespace {

constexpr std::size_t kMostTexts = std::size_t{1} << 10U;  // of the metadata

struct Name {
  StoredType type;
  std::string_view text;
};
constexpr std::size_t kOwn = 5;  // types that tensors have
constexpr std::array<Name, 10> kNames = {{{StoredType::f32, "F32"},
                                          {StoredType::f64, "F64"},
                                          {StoredType::i32, "I32"},
                                          {StoredType::i64, "I64"},
                                          {StoredType::u8, "U8"},
                                          {StoredType::f16, "F16"},
                                          {StoredType::bf16, "BF16"},
                                          {StoredType::i16, "I16"},
                                          {StoredType::i8, "I8"},
                                          {StoredType::boolean, "BOOL"}}};

const Name* type_named(std::string_view text, StoredTypes types) {
  const auto names = std::span(kNames).first(types == StoredTypes::own ? kOwn : kNames.size());
  const auto found = std::ranges::find(names, text, &Name::text);
  return found == names.end() ? nullptr : &*found;
}

std::string shown(const Json& value) {
  constexpr std::size_t kMostBytes = 100;
  return resnet::shown(value.dump({.replace = true}), kMostBytes);
}

struct Entry {
  std::string name;
  Name type = kNames.front();
  Shape shape;
  std::uint64_t begin = 0, end = 0;  // in the data
};

// Reads one file from its beginning on. A Source has size(), and read(bytes), which gives how many it
// filled.
template <class Source>
class Reader {
 public:
  Reader(Source& source, std::string file, StoredTypes types)
      : source_(source), file_(std::move(file)), types_(types) {}

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
      const Name& type = entries[i].type;
      result.tensors[i].second = read_tensor(entries[i]);
      if (is_widened(type.type)) ++result.widened[std::string(type.text)];
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

  // Of what is no safetensors file, and begins with `head`; a file of another kind is called by its name.
  [[noreturn]] void fail_to_begin(std::string head, const std::string& what) {
    if (head.size() < kKindBytes) {
      const std::size_t had = head.size();
      head.resize(kKindBytes);
      head.resize(had + source_.read(std::as_writable_bytes(std::span(head).subspan(had))));
    }
    if (const std::optional<FileKind> kind = kind_of(head))
      throw FormatError(fmt::format("{} is {}", file_, kind->what), kind->hint);
    fail(what);
  }

  Tensor read_tensor(const Entry& entry) {
    const StoredType type = entry.type.type;
    Tensor tensor(entry.shape, widened(type));
    if (!is_widened(type)) {
      fill({tensor.raw(), tensor.bytes()});
      return tensor;
    }
    constexpr std::size_t kPiece = std::size_t{1} << 16U;
    std::vector<std::byte> piece(std::min<std::size_t>(kPiece, entry.end - entry.begin));
    std::size_t left = entry.end - entry.begin;
    for (std::byte* to = tensor.raw(); left > 0;) {
      const auto bytes = std::span(piece).first(std::min(left, piece.size()));
      fill(bytes);
      widen(type, bytes, to);
      to += bytes.size() / size_of(type) * size_of(tensor.dtype());
      left -= bytes.size();
    }
    return tensor;
  }

  Json read_header() {
    const auto size = static_cast<std::uint64_t>(source_.size());
    std::string head(std::min<std::uint64_t>(size, kLengthBytes), '\0');
    fill(std::as_writable_bytes(std::span(head)));
    if (size < kLengthBytes)
      fail_to_begin(head, fmt::format("{} bytes are too few for a safetensors file", size));
    std::uint64_t length = 0;
    std::memcpy(&length, head.data(), sizeof length);
    if (length > size - kLengthBytes) {
      fail_to_begin(head, fmt::format("its header would have {} bytes, the file has {}", length, size));
    }
    if (length > kMostHeader)
      fail_to_begin(head, fmt::format("a header of {} bytes; at most {}", length, kMostHeader));
    std::string text(length, '\0');
    fill(std::as_writable_bytes(std::span(text)));
    data_bytes_ = size - kLengthBytes - length;
    if (!text.starts_with('{'))
      fail_to_begin(head + text.substr(0, kKindBytes), "the header does not begin with '{' and end with '}'");
    text.resize(text.find_last_not_of(' ') + 1);  // padding
    if (!text.ends_with('}')) fail("the header does not begin with '{' and end with '}'");
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
      if (!text.is_text()) fail(fmt::format("{}: {} is not a text", kMetadataKey, in_quotes(key)));
      metadata[key] = text.text();
    }
    return metadata;
  }

  Entry entry_of(const std::string& name, const Json& value) const {
    const std::string who = "tensor " + in_quotes(name);
    const Json* const dtype = value.find("dtype");
    const Json* const shape = value.find("shape");
    const Json* const range = value.find("data_offsets");
    if (value.size() != 3 || dtype == nullptr || shape == nullptr || range == nullptr) {
      fail(fmt::format("{}: expected exactly dtype, shape and data_offsets, got {}", who, shown(value)));
    }
    Entry entry;
    entry.name = name;
    entry.type = type_of(who, *dtype);
    entry.shape = shape_of(who, *shape);
    // A Shape has at most 2^40 elements: no overflow.
    const std::uint64_t bytes = static_cast<std::uint64_t>(entry.shape.elements()) * size_of(entry.type.type);
    const Json& offsets = *range;
    if (!offsets.is_list() || offsets.size() != 2 || !offsets[0].is_natural() || !offsets[1].is_natural()) {
      fail(fmt::format("{}: data_offsets are two whole numbers, got {}", who, shown(offsets)));
    }
    entry.begin = offsets[0].natural();
    entry.end = offsets[1].natural();
    if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
      fail(fmt::format("{}: {} {} takes {} bytes, data_offsets are {}", who, entry.type.text,
                       to_string(entry.shape), bytes, shown(offsets)));
    }
    if (entry.end > data_bytes_) {
      fail(fmt::format("{}: its data end at byte {}, the file holds {}", who, entry.end, data_bytes_));
    }
    return entry;
  }

  Name type_of(const std::string& who, const Json& value) const {
    if (!value.is_text()) fail(fmt::format("{}: dtype is not a text: {}", who, shown(value)));
    const std::string& text = value.text();
    if (const Name* type = type_named(text, types_)) return *type;
    fail(fmt::format("{}: dtype {} is not supported", who, in_quotes(text)),
         types_ == StoredTypes::own
             ? "F32, F64, I32, I64 and U8 are; in PyTorch, tensor.float() makes F32 of F16 and BF16"
             : "F16, BF16, F32, F64, I8 to I64, U8 and BOOL are; in PyTorch, tensor.float() makes F32 of "
               "others");
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
                         in_quotes(entry.name), entry.begin, end,
                         entry.begin > end ? "a hole" : "tensors overlap"));
      }
      end = entry.end;
    }
    if (end != data_bytes_) fail(fmt::format("{} bytes of data, the tensors take {}", data_bytes_, end));
    return order;
  }

  Source& source_;
  std::string file_;
  StoredTypes types_;
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
  for (const Name& name : std::span(kNames).first(kOwn)) {
    if (widened(name.type) == dtype) return name.text;
  }
  return kNoTypeName;
}

std::string described(DType dtype, const Shape& shape) {
  return fmt::format("{} {}", safetensors_name(dtype), to_string(shape));
}

Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name, StoredTypes types) {
  MemorySource source(bytes);
  return Reader(source, name, types).read();
}

Safetensors read_safetensors(const std::filesystem::path& path, StoredTypes types) {
  refuse_pipe(path);
  InputFile file(path);
  return Reader(file, path.string(), types).read();
}

}  // namespace resnet::io
