// What a file is by its first bytes, and what only looks like it.
#include "io/file_kind.h"

#include <gtest/gtest.h>

#include <string>

namespace resnet::io {
namespace {

using namespace std::string_literals;

std::string kind(const std::string& head) {
  const std::optional<FileKind> found = kind_of(head);
  return found ? found->what : "unknown";
}

TEST(FileKind, IsKnownByTheFirstBytes) {
  EXPECT_EQ(kind(""), "empty");
  EXPECT_EQ(kind("\x28\xb5\x2f\xfd"), "a zstd file");
  EXPECT_EQ(kind("\xfd"
                 "7zXZ\0"s),
            "an xz file");
  EXPECT_EQ(kind("BZh9"), "a bzip2 file");
  EXPECT_EQ(kind("7z\xbc\xaf\x27\x1c"), "a 7z archive");
  EXPECT_EQ(kind("GGUF"), "a GGUF file");
  EXPECT_EQ(kind("\x1c\0\0\0TFL3"s), "a TensorFlow Lite model");
  EXPECT_EQ(kind("\x7f"
                 "ELF"),
            "a program");
  EXPECT_EQ(kind("RIFF....WEBPVP8 "), "a picture (WebP)");
  EXPECT_EQ(kind("RIFF....WAVEfmt "), "unknown");
  EXPECT_EQ(kind("PK\3\4anything"), "a zip archive");
  EXPECT_EQ(kind("PK\5\6" + std::string(18, '\0')), "a zip archive") << "an empty one";
  EXPECT_EQ(kind("PK\3\4....archive/data.pkl"), "PyTorch's, which holds weights alone and no network");
}

TEST(FileKind, OfOnnxIsAVersionAndAFieldBehindIt) {
  const char* const onnx = "an ONNX model";
  for (const char field : {'\x12', '\x3a', '\x42'}) EXPECT_EQ(kind("\x08\x07"s + field + "x"), onnx);
  EXPECT_EQ(kind("\x08\x07\x12"), "unknown") << "too short to say";
  EXPECT_EQ(kind("\x09\x07\x12x"), "unknown");
  EXPECT_EQ(kind("\x08\x00\x12x"s), "unknown");
  EXPECT_EQ(kind("\x08\x20\x12x"), "unknown") << "no such version";
  EXPECT_EQ(kind("\x08\x07\x13x"), "unknown");
}

TEST(FileKind, OfTextsMayStandBehindSpaces) {
  const char* const page = "a web page, not the file behind its link";
  EXPECT_EQ(kind("\n\t <!DocType html>"), page);
  EXPECT_EQ(kind("<HTML lang=en>"), page);
  EXPECT_EQ(kind("<?xml version='1.0'?>"), page);
  EXPECT_EQ(kind("<!docs"), "unknown");
  EXPECT_EQ(kind("<htm"), "unknown");
  EXPECT_EQ(kind(" \n"), "unknown");
  EXPECT_EQ(kind(R"({"metadata":{},"weight_map":{)"),
            "the index of a safetensors file in parts, which holds weights alone and no network");
  EXPECT_EQ(kind(R"({"metadata":{})"), "unknown");
  EXPECT_EQ(kind(R"(["weight_map"])"), "unknown");
}

TEST(FileKind, OfAPickleIsItsProtocol) {
  const char* const pickle = "a Python pickle that is no PyTorch file";
  EXPECT_EQ(kind("\x80\x02N"), pickle);
  EXPECT_EQ(kind("\x80\x05N"), pickle);
  EXPECT_EQ(kind("\x80\x01N"), "unknown");
  EXPECT_EQ(kind("\x80\x06N"), "unknown");
  EXPECT_EQ(kind("\x80\x02"), "unknown") << "too short to say";
  EXPECT_EQ(kind("\x81\x02N"), "unknown");
}

}  // namespace
}  // namespace resnet::io
