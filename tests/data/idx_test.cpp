// IDX files: the real data set, and every way in which a file can be wrong.
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <functional>

#include "base/files.h"
#include "base/sha256.h"
#include "resnet/data.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

Bytes idx(std::uint8_t type, const std::vector<std::uint32_t>& extents, const Bytes& values) {
  Bytes bytes = {0, 0, type, static_cast<std::uint8_t>(extents.size())};
  for (const std::uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<std::uint8_t>(extent >> shift));
  }
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  deflateInit2(&stream, 9, Z_DEFLATED, kGzip, 9, Z_DEFAULT_STRATEGY);
  Bytes packed(deflateBound(&stream, bytes.size()) + 64);
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

class IdxFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("resnet_idx_" + std::to_string(::getpid()) + "_" +
                                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void put(const std::string& name, const Bytes& bytes) const {
    const std::vector<std::span<const std::byte>> parts = {std::as_bytes(std::span(bytes))};
    write_file(folder_ / name, parts);
  }
  void put_good() const {
    put("train-images-idx3-ubyte", idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
    put("train-labels-idx1-ubyte", idx(8, {3}, {2, 0, 1}));
  }
  data::Dataset load() const { return data::idx(data::Split::train, {{}, folder_, 0}); }

  fs::path folder_;
};

TEST_F(IdxFiles, AreReadPlainAndPacked) {
  put_good();
  const data::Dataset plain = load();
  EXPECT_EQ(plain.size(), 3);
  EXPECT_EQ(plain.classes().size(), 3U);
  EXPECT_EQ(plain.label(0), 2);
  EXPECT_EQ(plain.image(1).pixels, (Bytes{5, 6, 7, 8}));
  fs::remove(folder_ / "train-images-idx3-ubyte");
  put("train-images-idx3-ubyte.gz", gzip(idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})));
  EXPECT_EQ(load().image(2).pixels, (Bytes{9, 10, 11, 12}));
}

TEST_F(IdxFiles, LimitUsesTheFirstExamples) {
  put_good();
  EXPECT_EQ(data::idx(data::Split::train, {{}, folder_, 2}).size(), 2);
  EXPECT_EQ(data::idx(data::Split::train, {{}, folder_, 9}).size(), 3);
}

TEST_F(IdxFiles, AreRefusedWithOneLineThatSaysWhy) {
  const Bytes images = idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto without_last = [](Bytes bytes, std::size_t count) {
    bytes.resize(bytes.size() - count);
    return bytes;
  };
  Bytes corrupt = gzip(images);
  corrupt[corrupt.size() - 6] ^= 0xFFU;  // in the checksum
  const struct {
    const char* what;
    const char* file;
    Bytes bytes;
    const char* says;
  } cases[] = {
      {"truncated", "images-idx3", without_last(images, 1), "28 bytes are declared, 27 are there"},
      {"truncated header", "images-idx3", Bytes(images.begin(), images.begin() + 9), "header ends early"},
      {"empty", "images-idx3", {}, "header ends early"},
      {"trailing byte", "labels-idx1", idx(8, {3}, {2, 0, 1, 7}), "more bytes than the 11"},
      {"truncated gzip", "images-idx3", without_last(gzip(images), 9), "gzip data ends early"},
      {"corrupt gzip", "images-idx3", corrupt, "gzip data is corrupt"},
      {"wrong type", "images-idx3", idx(13, {3, 2, 2}, Bytes(48)), "wrong magic number 00000d03"},
      {"wrong rank", "labels-idx1", idx(8, {3, 1}, {2, 0, 1}), "wrong magic number 00000802"},
      {"labels for images", "images-idx3", idx(8, {3}, {2, 0, 1, 0, 0, 0, 0, 0}),
       "wrong magic number 00000801"},
      {"zero extent", "images-idx3", idx(8, {3, 0, 2}, {}), "extent 1 is 0"},
      {"overflow", "images-idx3", idx(8, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {}), "extents are too large"},
      {"bomb", "images-idx3", gzip(idx(8, {3, 2, 2}, Bytes(4 << 20))), "more bytes than the 28"},
      {"count differs", "labels-idx1", idx(8, {2}, {2, 0}), "3 images in"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    put_good();
    put("train-" + std::string(c.file) + "-ubyte", c.bytes);
    try {
      load();
      ADD_FAILURE() << "was accepted";
    } catch (const FormatError& error) {
      EXPECT_NE(std::string(error.what()).find(c.says), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST_F(IdxFiles, OfFashionMnistMayHaveNoLabelAboveNine) {
  put_good();
  put("train-labels-idx1-ubyte", idx(8, {3}, {2, 10, 1}));
  EXPECT_THROW(data::fashion_mnist(data::Split::train, {{}, folder_, 0}), FormatError);
}

TEST_F(IdxFiles, ThatAreMissingSayHowToGetThem) {
  try {
    data::fashion_mnist(data::Split::train, {{}, folder_, 0});
    ADD_FAILURE() << "was accepted";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("train-images-idx3-ubyte"), std::string::npos);
    EXPECT_NE(error.hint().find("apt-get install dataset-fashion-mnist"), std::string::npos);
  }
}

TEST(FashionMnist, IsTheKnownDataSet) {
  const data::Dataset train = data::fashion_mnist(data::Split::train, {{96}, {}, 0});
  const data::Dataset test = data::fashion_mnist(data::Split::test, {{96}, {}, 0});
  EXPECT_EQ(train.size(), 60000);
  EXPECT_EQ(test.size(), 10000);
  EXPECT_EQ(train.example_shape(), (Shape{1, 96, 96}));
  EXPECT_EQ(train.classes().at(9), "Ankle boot");
  // The unpacked test images, header included: the digest of docs and of every other copy.
  Sha256 hash;
  const Bytes header = {0, 0, 8, 3, 0, 0, 0x27, 0x10, 0, 0, 0, 28, 0, 0, 0, 28};
  hash.update(std::as_bytes(std::span(header)));
  for (std::int64_t i = 0; i < test.size(); ++i) {
    const data::Image image = test.image(i);
    hash.update(std::as_bytes(std::span(image.pixels)));
  }
  EXPECT_EQ(hash.hex(), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b");
}

TEST(Open, KnowsItsNames) {
  EXPECT_THROW(data::open("mnist", data::Split::train), ConfigError);
  EXPECT_THROW(data::open("idx:", data::Split::train), ConfigError);
  EXPECT_THROW(data::open("cifar10", data::Split::train, {{}, "/nonexistent", 0}), IoError);
}

}  // namespace
}  // namespace resnet
