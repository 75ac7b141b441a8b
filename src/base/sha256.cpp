#include "base/sha256.h"

#include <array>
#include <cstdint>

namespace resnet {

Sha256::Sha256() {
  SHA256_Init(&context_);
}

void Sha256::update(std::span<const std::byte> bytes) {
  SHA256_Update(&context_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

std::string Sha256::hex() const {
  SHA256_CTX finished = context_;
  std::array<char, SHA256_DIGEST_STRING_LENGTH> text{};
  SHA256_End(&finished, text.data());
  return text.data();
}

std::string sha256_of(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.hex();
}

}  // namespace resnet
