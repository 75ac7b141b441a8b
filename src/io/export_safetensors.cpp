#include <fmt/core.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "io/half.h"
#include "io/model_metadata.h"
#include "io/safetensors.h"
#include "resnet/export.h"

namespace resnet {
namespace {

// f32 as 16 bits each. Throws FormatError where that would make an infinity of a number.
std::vector<std::uint16_t> narrowed(const std::string& name, std::span<const float> values, WeightType type) {
  std::vector<std::uint16_t> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = values[i];
    const bool half = type == WeightType::f16;
    const BFloat16 brain(value);
    result[i] = half ? io::half_of(value) : brain.bits;
    const float narrow = half ? io::float_of_half(result[i]) : static_cast<float>(brain);
    if (std::isfinite(value) && !std::isfinite(narrow)) {
      throw FormatError(fmt::format("tensor '{}' has {}, {}", name, value,
                                    half ? "f16 ends at 65504" : "bf16 ends at 3.39e38"),
                        half ? "bf16 has nearly the range of f32" : "f32 holds it");
    }
  }
  return result;
}

}  // namespace

std::int64_t export_safetensors(const std::filesystem::path& path, const ModelFile& model, WeightType type) {
  const io::Metadata metadata = io::metadata_of(model, path);
  std::vector<std::vector<std::uint16_t>> halves;
  halves.reserve(model.state.size());
  std::vector<io::StoredTensor> tensors;
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : model.state) {
    io::StoredTensor stored{name,
                            io::safetensors_name(tensor.dtype()),
                            size_of(tensor.dtype()),
                            tensor.shape(),
                            {tensor.raw(), tensor.bytes()}};
    if (tensor.dtype() == DType::f32 && type != WeightType::f32) {
      halves.push_back(narrowed(name, tensor.values(), type));
      stored.dtype = type == WeightType::f16 ? "F16" : "BF16";
      stored.element = sizeof(std::uint16_t);
      stored.bytes = std::as_bytes(std::span(halves.back()));
    }
    bytes += static_cast<std::int64_t>(stored.bytes.size());
    tensors.push_back(stored);
  }
  io::write_stored(path, tensors, metadata);
  return bytes;
}

}  // namespace resnet
