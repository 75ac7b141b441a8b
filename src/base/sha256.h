// SHA-256, for content hashes of weights and data sets, computed by libmd.
#pragma once

#include <sha256.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace resnet {

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  /// The digest of everything so far, 64 lower-case digits; more may follow.
  std::string hex() const;

 private:
  SHA256_CTX context_{};
};

/// Of a text.
std::string sha256_of(std::string_view text);
/// The same in base64, as a content security policy names what may run: "sha256-...".
std::string policy_hash(std::string_view text);

}  // namespace resnet
