#include "base/sha256.h"

#include <array>
#include <cstdint>

#include "base/text.h"

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

std::string policy_hash(std::string_view text) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256_Final(digest.data(), &context);
  return "sha256-" + base64(digest);
}

}  // namespace resnet
