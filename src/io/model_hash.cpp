#include "io/model_hash.h"

#include <algorithm>
#include <bit>
#include <span>
#include <string_view>
#include <vector>

#include "base/sha256.h"
#include "io/model_metadata.h"

namespace resnet::io {

static_assert(std::endian::native == std::endian::little, "elements are hashed as they lie");

std::string weights_sha256(const NamedTensors& state) {
  std::vector<const NamedTensors::value_type*> sorted;
  for (const auto& entry : state) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  Sha256 hash;
  const auto add_text = [&](std::string_view text) {
    hash.update(std::as_bytes(std::span(text)));
    constexpr std::byte kNul{0};
    hash.update({&kNul, 1});
  };
  for (const auto* entry : sorted) {
    const auto& [name, tensor] = *entry;
    add_text(name);
    add_text(safetensors_name(tensor.dtype()));
    add_text(to_string(tensor.shape()));
    hash.update({tensor.raw(), tensor.bytes()});
  }
  return hash.hex();
}

std::string checkpoint_hash(const NamedTensors& tensors, const Metadata& metadata) {
  Sha256 hash;
  const auto add = [&](const std::string& text) { hash.update(std::as_bytes(std::span(text))); };
  for (const auto& [key, text] : metadata) {
    if (key == kCheckpointHashKey) continue;
    add(key + '\0' + text + '\0');
  }
  add(weights_sha256(tensors));
  return hash.hex();
}

}  // namespace resnet::io
