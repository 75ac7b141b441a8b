#include "base/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace resnet {
namespace {

std::string hash_of(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.hex();
}

// Source: FIPS 180-4 examples.
TEST(Sha256, GivesTheKnownAnswers) {
  EXPECT_EQ(hash_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnThePiecesAndGoesOnAfterHex) {
  const std::string text(1000, 'q');
  Sha256 hash;
  for (std::size_t begin = 0; begin < text.size(); begin += 37) {
    const std::string_view piece = std::string_view(text).substr(begin, 37);
    hash.update(std::as_bytes(std::span(piece)));
    EXPECT_EQ(hash.hex(), hash_of(text.substr(0, begin + piece.size())));
  }
}

// "abc" by FIPS 180-4, in base64.
TEST(Sha256, NamesATextForAContentSecurityPolicy) {
  EXPECT_EQ(policy_hash("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

}  // namespace
}  // namespace resnet
