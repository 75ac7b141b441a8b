// The safetensors format: named tensors after a JSON header. Strict in both directions.
// Source: https://github.com/huggingface/safetensors (README, "Format").
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "resnet/tensor.h"

namespace resnet::io {

/// The same type as State, for files that hold something else.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using Metadata = std::map<std::string, std::string>;

struct Safetensors {
  NamedTensors tensors;  // in the order of the header
  Metadata metadata;
  std::map<std::string, std::int64_t> widened;  // how many tensors were stored as "F16", and are F32 here
};

/// Which types of elements are read: those that tensors have (F32, F64, I32, I64, U8), or also F16, BF16,
/// I16, I8 and BOOL, as widened() says.
enum class StoredTypes { own, all };

/// "F32", "F64", "I32", "I64" or "U8".
std::string_view safetensors_name(DType dtype);
/// "F32 [64,3,7,7]".
std::string described(DType dtype, const Shape& shape);

/// Writes the file, atomically, durably and read back. Equal arguments give equal bytes. The header names the
/// tensors in the order given; their data lie widest dtype first, so that each is aligned to its
/// elements, as other readers need. Throws FormatError for what the format cannot hold (two tensors
/// of one name, names that are not UTF-8), IoError if writing fails; the old file is then still there. With a
/// `folder` as write_file().
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata = {}, const KnownFolder* folder = nullptr);

/// A tensor as it is to lie in a file.
struct StoredTensor {
  std::string_view name, dtype;  // "F16"
  std::size_t element = 4;       // bytes
  Shape shape;
  std::span<const std::byte> bytes;
};
/// The same, also of dtypes that no tensor here has.
void write_stored(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                  const Metadata& metadata = {}, const KnownFolder* folder = nullptr);

/// Reads a file. Throws IoError if it cannot be read, FormatError with the file's name if anything in it is
/// not as the format demands, with what it is if it is something else that is known, or if it exceeds our
/// bounds: a header of 8 MB, 16,384 tensors, 1,024 texts of metadata, names of 1,024 bytes. Memory: the
/// tensors and some six times the header; a file cannot ask for more than its own length, with
/// StoredTypes::all four times that.
Safetensors read_safetensors(const std::filesystem::path& path, StoredTypes types = StoredTypes::own);

/// The same for bytes in memory; `name` stands for them in messages.
Safetensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name,
                              StoredTypes types = StoredTypes::own);

}  // namespace resnet::io
