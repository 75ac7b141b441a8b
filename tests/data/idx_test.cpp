// IDX files: the real data set, and every way in which a file can be wrong.
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

#include "base/machine.h"
#include "base/sha256.h"
#include "resnet/data.h"
#include "support/scratch_folder.h"

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

// The bytes, and then so many MiB of zeros.
Bytes gzip(const Bytes& bytes, int zeros = 0) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 9, Z_DEFAULT_STRATEGY);
  const Bytes block(std::size_t{1} << 20);
  Bytes packed(deflateBound(&stream, bytes.size() + block.size()) + 64);
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  for (int i = 0; i <= zeros; ++i) {
    const Bytes& from = i == 0 ? bytes : block;
    stream.next_in = const_cast<Bytef*>(from.data());
    stream.avail_in = static_cast<uInt>(from.size());
    deflate(&stream, i == zeros ? Z_FINISH : Z_NO_FLUSH);
  }
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

class IdxFiles : public ::testing::Test {
 protected:
  void put(const std::string& name, const Bytes& bytes) const { folder_.put(name, bytes); }
  void put_good() const {
    put("train-images-idx3-ubyte", idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
    put("train-labels-idx1-ubyte", idx(8, {3}, {2, 0, 1}));
  }
  data::Dataset load() const { return data::idx(data::Split::train, options()); }
  data::DatasetOptions options() const { return {{}, folder_.path(), 0}; }

  ScratchFolder folder_;
};

TEST_F(IdxFiles, AreReadPlainAndPacked) {
  put_good();
  const data::Dataset plain = load();
  EXPECT_EQ(plain.size(), 3);
  EXPECT_EQ(plain.classes().size(), 3U);
  EXPECT_EQ(plain.label(0), 2);
  EXPECT_EQ(plain.image(1).pixels, (Bytes{5, 6, 7, 8}));
  fs::remove(folder_ / "train-images-idx3-ubyte");
  const Bytes images = idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  put("train-images-idx3-ubyte.gz", gzip(images));
  EXPECT_EQ(load().image(2).pixels, (Bytes{9, 10, 11, 12}));
  put("train-images-idx3-ubyte.gz", images);  // what it is counts, not what it is called
  EXPECT_EQ(load().image(2).pixels, (Bytes{9, 10, 11, 12}));
  // Two members of gzip, one after the other, are one content (RFC 1952, section 2.2).
  Bytes members = gzip(Bytes(images.begin(), images.begin() + 20));
  const Bytes second = gzip(Bytes(images.begin() + 20, images.end()));
  members.insert(members.end(), second.begin(), second.end());
  put("train-images-idx3-ubyte.gz", members);
  EXPECT_EQ(load().image(2).pixels, (Bytes{9, 10, 11, 12}));
}

TEST_F(IdxFiles, OfOverAMegabyteAreReadWhole) {
  Bytes pixels(2000 * 28 * 28);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * i >> 7U);
  for (const bool packed : {false, true}) {
    const Bytes images = idx(8, {2000, 28, 28}, pixels);
    put("train-images-idx3-ubyte", packed ? gzip(images) : images);
    put("train-labels-idx1-ubyte", idx(8, {2000}, Bytes(2000)));
    const data::Dataset set = load();
    for (std::int64_t i = 0; i < set.size(); ++i) {
      const Bytes expected(pixels.begin() + i * 784, pixels.begin() + (i + 1) * 784);
      ASSERT_EQ(set.image(i).pixels, expected) << i;
    }
  }
}

TEST_F(IdxFiles, HaveTheClassesOfBothSplits) {
  put_good();
  EXPECT_EQ(load().classes(), (std::vector<std::string>{"0", "1", "2"}));
  put("t10k-images-idx3-ubyte", idx(8, {2, 2, 2}, Bytes(8)));
  put("t10k-labels-idx1-ubyte", idx(8, {2}, {4, 0}));
  EXPECT_EQ(load().classes().size(), 5U);
  EXPECT_EQ(data::idx(data::Split::test, options()).classes(), load().classes());
}

// As unpackers and other programs call the files, and where they put them.
TEST_F(IdxFiles, AreFoundUnderTheNamesThatPeopleHave) {
  const Bytes images = idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const Bytes labels = idx(8, {3}, {2, 0, 1});
  const struct {
    const char *images, *labels;
  } places[] = {
      {"train-images.idx3-ubyte", "train-labels.idx1-ubyte"},
      {"train-images.idx3-ubyte.gz", "train-labels-idx1-ubyte"},
      {"train-images-idx3-ubyte/train-images-idx3-ubyte", "train-labels-idx1-ubyte/train-labels.idx1-ubyte"},
      {"raw/train-images-idx3-ubyte", "raw/train-labels-idx1-ubyte"},
      {"MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-labels-idx1-ubyte"},
      {"data/MNIST/raw/train-images-idx3-ubyte", "data/MNIST/raw/train-labels-idx1-ubyte"},
      {"qmnist-train-images-idx3-ubyte.gz", "qmnist-train-labels-idx1-ubyte"},
  };
  int number = 0;
  for (const auto& place : places) {
    SCOPED_TRACE(place.images);
    const std::string top = std::to_string(number++);
    for (const auto& [name, bytes] : {std::pair(place.images, images), std::pair(place.labels, labels)}) {
      fs::create_directories((folder_ / (top + "/" + name)).parent_path());
      put(top + "/" + name, bytes);
    }
    const data::Dataset found = data::idx(data::Split::train, {.dir = folder_ / top});
    EXPECT_EQ(found.image(1).pixels, (Bytes{5, 6, 7, 8}));
    EXPECT_EQ(found.label(0), 2);
    EXPECT_EQ(found.name(), "idx:" + (folder_ / top).string());
  }
  try {
    load();  // the folder that holds all these
    ADD_FAILURE() << "was accepted";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("has several such data sets: "), std::string::npos)
        << error.what();
  }
}

TEST_F(IdxFiles, OfSeveralDataSetsInOneFolderAreChosenByName) {
  for (const std::string set : {"letters", "digits"}) {
    for (const std::string split : {"train", "test"}) {
      put("emnist-" + set + "-" + split + "-images-idx3-ubyte", idx(8, {2, 1, 1}, {7, 8}));
      put("emnist-" + set + "-" + split + "-labels-idx1-ubyte",
          idx(8, {2}, set == "digits" ? Bytes{0, 9} : Bytes{1, 26}));
    }
  }
  const data::Dataset letters = data::idx(data::Split::test, {.dir = folder_ / "emnist-letters"});
  ASSERT_EQ(letters.classes().size(), 26U);  // none that is empty by itself
  EXPECT_EQ(letters.classes().front(), "1");
  EXPECT_EQ(letters.label(1), 25);
  EXPECT_EQ(data::idx(data::Split::train, {.dir = folder_ / "emnist-digits"}).classes().size(), 10U);
  try {
    load();
    ADD_FAILURE() << "was accepted";
  } catch (const IoError& error) {
    EXPECT_EQ(error.what(),
              folder_.path().string() + " has several data sets: emnist-digits, emnist-letters");
    EXPECT_EQ(error.hint(), "give one of them: " + (folder_ / "emnist-digits").string());
  }
}

TEST_F(IdxFiles, AreNotWhatIsOnlyCalledAlike) {
  put_good();
  for (const char* other :
       {"xtrain-images-idx3-ubyte", "other-images-idx3-ubyte", "train-images-idx3-float", "train"})
    put(other, {1, 2, 3});
  fs::create_directory(folder_ / "t10k-images-idx3-ubyte");  // with nothing in it
  put("train-images-idx3-ubyte.gz", gzip(idx(8, {3, 2, 2}, Bytes(12))));
  EXPECT_EQ(load().image(1).pixels, (Bytes{5, 6, 7, 8})) << "the plain one, whichever comes first";
  fs::rename(folder_ / "train-images-idx3-ubyte", folder_ / "train-images.idx3-ubyte");
  EXPECT_EQ(load().image(1).pixels, (Bytes{5, 6, 7, 8}));
  fs::remove(folder_ / "train-labels-idx1-ubyte");
  fs::create_directory(folder_ / "train-labels-idx1-ubyte");
  for (const char* inner :
       {"readme", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "a-train-labels-idx1-ubyte",
        "train-labels-idx1-ubyte", "train-labels.idx1-ubyte"})
    put(std::string("train-labels-idx1-ubyte/") + inner, idx(8, {3}, {2, 0, 1}));
  EXPECT_EQ(load().label(0), 2) << "the folder has the file under two of its names";
}

TEST_F(IdxFiles, MayHaveOneChannelOfFourAxesAndNoImagesOfWideValues) {
  put_good();
  put("train-images-idx3-ubyte", idx(8, {3, 1, 2, 1}, {1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(load().image(1).pixels, (Bytes{3, 4}));
  put("train-images-idx3-ubyte", idx(0x0b, {3, 1, 1}, Bytes(6)));
  try {
    load();
    ADD_FAILURE() << "was accepted";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("wrong magic number 00000b03"), std::string::npos)
        << error.what();
  }
  for (const char* name : {"idx:~/none", "cifar10"}) {
    try {
      data::open(name, data::Split::train, {.dir = name == std::string("cifar10") ? "~/none" : ""});
      ADD_FAILURE() << name;
    } catch (const IoError& error) {
      EXPECT_NE(error.hint().find("$HOME"), std::string::npos) << error.hint();
    }
  }
  EXPECT_THROW(data::idx(data::Split::train, {.dir = folder_ / "none"}), IoError);
}

TEST_F(IdxFiles, OfQmnistHaveTheirClassInTheFirstColumn) {
  put("qmnist-test-images-idx3-ubyte", idx(8, {2, 1, 1}, {7, 8}));
  Bytes table(2 * 3 * 4);
  table[3] = 4;
  table[7] = 200;
  table[15] = 9;
  put("qmnist-test-labels-idx2-int", idx(0x0c, {2, 3}, table));
  const data::Dataset set = data::idx(data::Split::test, options());
  EXPECT_EQ(set.classes(), (std::vector<std::string>{"4", "5", "6", "7", "8", "9"}));
  EXPECT_EQ(set.label(0), 0);
  EXPECT_EQ(set.label(1), 5);
  table[12] = 0xff;
  put("qmnist-test-labels-idx2-int", idx(0x0c, {2, 3}, table));
  EXPECT_THROW(data::idx(data::Split::test, options()), FormatError);  // a negative label
  table[12] = 0x7f;
  put("qmnist-test-labels-idx2-int", idx(0x0c, {2, 3}, table));
  EXPECT_THROW(data::idx(data::Split::test, options()), FormatError);  // two thousand million classes
}

TEST_F(IdxFiles, OfFourAxesAreInColour) {
  put("train-labels-idx1-ubyte", idx(8, {2}, {0, 1}));
  Bytes pixels;
  for (std::uint8_t i = 0; i < 2 * 2 * 2 * 3; ++i) pixels.push_back(i);
  put("train-images-idx4-ubyte", idx(8, {2, 2, 2, 3}, pixels));
  EXPECT_EQ(load().example_shape(), (Shape{3, 2, 2}));
  EXPECT_EQ(load().image(1).pixels, Bytes(pixels.begin() + 12, pixels.end()));
  put("train-images-idx4-ubyte", idx(8, {2, 3, 2, 2}, pixels));  // planes
  EXPECT_EQ(load().image(0).pixels, (Bytes{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  put("train-images-idx4-ubyte", idx(8, {2, 2, 3, 2}, pixels));
  EXPECT_THROW(load(), FormatError);
}

TEST_F(IdxFiles, AreFoundByTheOptionThenByTheEnvironment) {
  put_good();
  const ScopedVariable variable("RESNET_DATA_DIR", folder_.path().c_str());
  EXPECT_EQ(data::fashion_mnist(data::Split::train).size(), 3);
  EXPECT_EQ(data::open("idx:" + folder_.path().string(), data::Split::train).size(), 3);
  const ScratchFolder empty;
  EXPECT_THROW(data::fashion_mnist(data::Split::train, {{}, empty.path(), 0}), IoError);
}

TEST_F(IdxFiles, LimitUsesTheFirstExamples) {
  put_good();
  const data::Dataset two = data::idx(data::Split::train, {{}, folder_.path(), 2});
  EXPECT_EQ(two.size(), 2);
  EXPECT_EQ(two.classes().size(), 3U);  // of the whole file, so that the network does not depend on it
  EXPECT_THROW(two.image(2), Error);
  EXPECT_EQ(data::idx(data::Split::train, {{}, folder_.path(), 9}).size(), 3);
  EXPECT_THROW(data::idx(data::Split::train, {{}, folder_.path(), -1}), ConfigError);
}

// The digest is Python's: hashlib over struct.pack("<4q", 2, 2, 1, label) and the four pixels of each.
TEST_F(IdxFiles, AreKnownByTheirContent) {
  const Bytes pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const auto digest = [&](const Bytes& images, const Bytes& labels, std::int64_t count = 3) {
    put("train-images-idx3-ubyte", images);
    put("train-labels-idx1-ubyte", labels);
    return data::content_sha256(load().source(), count);
  };
  const std::string known = digest(idx(8, {3, 2, 2}, pixels), idx(8, {3}, {0, 2, 1}));
  EXPECT_EQ(known, "cbacb1c83df05d3e4e47919d050e85a23b2acdc682a52fe11f6bf1df109e548d");
  EXPECT_EQ(digest(gzip(idx(8, {3, 2, 2}, pixels)), idx(8, {3}, {0, 2, 1})), known) << "stored otherwise";
  EXPECT_EQ(digest(idx(8, {3, 2, 2}, pixels), idx(8, {3}, {0, 2, 1}), 9), known) << "all there are";
  Bytes changed = pixels;
  changed.back() ^= 1U;
  EXPECT_NE(digest(idx(8, {3, 2, 2}, changed), idx(8, {3}, {0, 2, 1})), known);
  EXPECT_NE(digest(idx(8, {3, 2, 2}, pixels), idx(8, {3}, {0, 2, 2})), known);
  EXPECT_NE(digest(idx(8, {3, 4, 1}, pixels), idx(8, {3}, {0, 2, 1})), known);
  EXPECT_NE(digest(idx(8, {3, 2, 2}, pixels), idx(8, {3}, {0, 2, 1}), 2), known);
}

TEST_F(IdxFiles, AreRefusedWithOneLineThatSaysWhy) {
  const Bytes images = idx(8, {3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto without_last = [](Bytes bytes, std::size_t count) {
    bytes.resize(bytes.size() - count);
    return bytes;
  };
  Bytes checksum = gzip(images);
  checksum[checksum.size() - 6] ^= 0xFFU;
  Bytes length = gzip(images);
  length.back() ^= 0x01U;
  Bytes stream = gzip(images);
  stream[10] ^= 0x06U;  // the type of the first block
  Bytes trailing = gzip(images);
  trailing.push_back(0);
  Bytes cheated = gzip(idx(8, {3, 30000, 30000}, Bytes(12)));
  const struct {
    const char* what;
    const char* file;
    Bytes bytes;
    const char* says;
  } cases[] = {
      {"truncated", "images-idx3", without_last(images, 1), "truncated, 11 bytes behind the header, 12 are"},
      {"truncated header", "images-idx3", Bytes(images.begin(), images.begin() + 9), "header ends early"},
      {"empty", "images-idx3", {}, "header ends early"},
      {"one byte of gzip", "images-idx3", {0x1f}, "header ends early"},
      {"half of gzip's magic", "images-idx3", {0x1f, 0, 8, 3}, "wrong magic number 1f000803"},
      {"wrong second byte", "images-idx3", {0, 1, 8, 3}, "wrong magic number 00010803"},
      {"trailing byte", "labels-idx1", idx(8, {3}, {2, 0, 1, 7}), "trailing bytes, more than the 3"},
      {"truncated gzip", "images-idx3", without_last(gzip(images), 9), "gzip data ends early"},
      {"truncated gzip checksum", "images-idx3", without_last(gzip(images), 1), "gzip data ends early"},
      {"gzip magic alone", "images-idx3", {0x1f, 0x8b}, "gzip data ends early"},
      {"gzip checksum", "images-idx3", checksum, "gzip data is corrupt (incorrect data check)"},
      {"gzip length", "images-idx3", length, "gzip data is corrupt (incorrect length check)"},
      {"gzip stream", "images-idx3", stream, "gzip data is corrupt (invalid"},
      {"bytes behind gzip", "images-idx3", trailing, "more bytes follow the gzip data"},
      {"wrong type", "images-idx3", idx(13, {3, 2, 2}, Bytes(48)), "wrong magic number 00000d03"},
      {"wrong rank", "labels-idx1", idx(8, {3, 1}, {2, 0, 1}), "wrong magic number 00000802"},
      {"labels for images", "images-idx3", idx(8, {3}, {2, 0, 1, 0, 0, 0, 0, 0}),
       "wrong magic number 00000801, expected 00000803"},
      {"zero images", "images-idx3", idx(8, {0, 2, 2}, {}), "extent 0 is 0"},
      {"zero extent", "images-idx3", idx(8, {3, 0, 2}, {}), "extent 1 is 0"},
      {"overflow", "images-idx3", idx(8, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {}), "extents are too large"},
      {"overflow to negative", "images-idx3", idx(8, {0xFFFFFFFF, 0xFFFFFFFF, 1}, {}),
       "extents are too large"},
      {"overflow to little", "images-idx3", idx(8, {0x80000000, 0x80000000, 4}, {}), "extents are too large"},
      {"declares much, holds nothing", "images-idx3", cheated, "truncated, 12 bytes behind the header"},
      {"too wide", "images-idx3", idx(8, {3, 1, 65536}, Bytes(3 * 65536)), "images of 1x65536"},
      {"bomb", "images-idx3", gzip(idx(8, {3, 2, 2}, Bytes(12)), 4), "trailing bytes, more than the 12"},
      {"count differs", "labels-idx1", idx(8, {2}, {2, 0}), "3 images in"},
      {"more labels than memory", "labels-idx1", idx(8, {0xFFFFFFFF}, {}), "but 4294967295 labels in"},
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
      EXPECT_NE(std::string(error.what()).find((folder_ / ("train-" + std::string(c.file))).string()),
                std::string::npos)
          << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST_F(IdxFiles, DoNotUnpackABombBeyondWhatTheyDeclare) {
  put_good();
  put("train-images-idx3-ubyte", gzip(idx(8, {3, 2, 2}, Bytes(12)), 128));
  const std::int64_t before = peak_rss_bytes();
  EXPECT_THROW(load(), FormatError);
  EXPECT_LT(peak_rss_bytes() - before, 32 << 20);
}

TEST_F(IdxFiles, OfFashionMnistMayHaveNoLabelAboveNine) {
  put_good();
  put("train-labels-idx1-ubyte", idx(8, {3}, {2, 10, 1}));
  try {
    data::fashion_mnist(data::Split::train, options());
    ADD_FAILURE() << "was accepted";
  } catch (const FormatError& error) {
    EXPECT_EQ(std::string(error.what()), (folder_ / "train-labels-idx1-ubyte").string() +
                                             ": label 10 of example 1, but Fashion-MNIST has classes 0 to 9");
  }
}

// Its files look the same from outside.
TEST_F(IdxFiles, OfMnistAreNotTakenForFashionMnist) {
  put_good();
  put("t10k-images-idx3-ubyte", idx(8, {10, 2, 2}, Bytes(40)));
  put("t10k-labels-idx1-ubyte", idx(8, {10}, {7, 2, 1, 0, 4, 1, 4, 9, 5, 9}));
  try {
    data::fashion_mnist(data::Split::test, options());
    ADD_FAILURE() << "was accepted";
  } catch (const FormatError& error) {
    EXPECT_EQ(std::string(error.what()),
              (folder_ / "t10k-labels-idx1-ubyte").string() + ": the labels of MNIST, not of Fashion-MNIST");
    EXPECT_EQ(error.hint(), "idx:" + folder_.path().string() + " opens MNIST");
  }
  EXPECT_EQ(data::idx(data::Split::test, options()).size(), 10);
  put("t10k-labels-idx1-ubyte", idx(8, {10}, {7, 2, 1, 0, 4, 1, 4, 9, 5, 8}));
  EXPECT_NO_THROW(static_cast<void>(data::fashion_mnist(data::Split::test, options())));
}

// The root of torchvision's data sets.
TEST_F(IdxFiles, OfFashionMnistAreFoundBesideOthersByTheirFolder) {
  for (const std::string set : {"MNIST", "FashionMNIST", "KMNIST"}) {
    fs::create_directories(folder_ / (set + "/raw"));
    put(set + "/raw/train-images-idx3-ubyte",
        idx(8, {1, 1, 1}, {set == "FashionMNIST" ? std::uint8_t{7} : std::uint8_t{0}}));
    put(set + "/raw/train-labels-idx1-ubyte", idx(8, {1}, {3}));
  }
  EXPECT_EQ(data::fashion_mnist(data::Split::train, options()).image(0).pixels, Bytes{7});
  EXPECT_THROW(static_cast<void>(load()), IoError);
  fs::create_directories(folder_ / "fashion/raw");  // two of that name
  put("fashion/raw/train-images-idx3-ubyte", idx(8, {1, 1, 1}, {8}));
  put("fashion/raw/train-labels-idx1-ubyte", idx(8, {1}, {3}));
  EXPECT_THROW(static_cast<void>(data::fashion_mnist(data::Split::train, options())), IoError);
}

TEST_F(IdxFiles, WithANameInFrontAreFoundFromWhereTheyAre) {
  put("letters-train-images-idx3-ubyte", idx(8, {1, 2, 2}, Bytes(4)));
  put("letters-train-labels-idx1-ubyte", idx(8, {1}, {0}));
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_NO_THROW(static_cast<void>(data::idx(data::Split::train, {.dir = "letters"})));
  fs::current_path(before);
}

TEST_F(IdxFiles, ThatAreMissingSayHowToGetThem) {
  put("train-images-idx3-ubyte.gz", {});
  try {
    data::fashion_mnist(data::Split::train, options());
    ADD_FAILURE() << "was accepted";
  } catch (const IoError& error) {
    EXPECT_EQ(std::string(error.what()), "Fashion-MNIST is not in " + folder_.path().string() +
                                             ": train-labels-idx1-ubyte[.gz] is missing; it holds "
                                             "train-images-idx3-ubyte.gz");
    EXPECT_EQ(error.hint(),
              "sudo apt-get install dataset-fashion-mnist, or give the four files in DatasetOptions::dir");
  }
}

// The digest of an unpacked file, put together again from what was read.
std::string digest(const Bytes& header, const data::Dataset& set, bool labels) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(header)));
  for (std::int64_t i = 0; i < set.size(); ++i) {
    const auto label = static_cast<std::uint8_t>(set.label(i));
    if (labels) {
      hash.update(std::as_bytes(std::span(&label, 1)));
    } else {
      const data::Image image = set.image(i);
      hash.update(std::as_bytes(std::span(image.pixels)));
    }
  }
  return hash.hex();
}

// Fails where the package dataset-fashion-mnist is not installed, and says so.
TEST(FashionMnist, IsTheKnownDataSet) {
  const ScopedVariable variable("RESNET_DATA_DIR", nullptr);
  const struct {
    data::Split split;
    std::int64_t size;
    std::vector<std::int32_t> first_labels;
    const char *images, *labels;  // sha256 of the unpacked files, of every copy of the data set
  } splits[] = {
      {data::Split::train,
       60000,
       {9, 0, 0, 3, 0, 2, 7, 2, 5, 5},
       "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
       "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
      {data::Split::test,
       10000,
       {9, 2, 1, 1, 6, 1, 4, 6, 5, 7},
       "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
       "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
  };
  for (const auto& s : splits) {
    const data::Dataset set = [&] {
      try {
        return data::fashion_mnist(s.split, {.resize = 96});
      } catch (const Error& error) {
        throw Error(std::string(error.what()) + "; " + error.hint());
      }
    }();
    ASSERT_EQ(set.size(), s.size);
    EXPECT_EQ(set.name(), "fashion-mnist");
    EXPECT_EQ(set.example_shape(), (Shape{1, 96, 96}));
    EXPECT_EQ(set.classes().size(), 10U);
    EXPECT_EQ(set.classes().at(0), "T-shirt/top");
    EXPECT_EQ(set.classes().at(9), "Ankle boot");
    for (std::size_t i = 0; i < s.first_labels.size(); ++i) {
      EXPECT_EQ(set.label(static_cast<std::int64_t>(i)), s.first_labels[i]) << i;
    }
    const auto count = static_cast<std::uint32_t>(s.size);
    EXPECT_EQ(digest(idx(8, {count, 28, 28}, {}), set, false), s.images);
    EXPECT_EQ(digest(idx(8, {count}, {}), set, true), s.labels);
  }
}

TEST(Open, KnowsItsNames) {
  for (const char* text : {"mnist", "idx:", "", "Fashion-MNIST", "cifar10 "}) {
    EXPECT_THROW(data::open(text, data::Split::train), ConfigError) << text;
  }
  EXPECT_THROW(data::open("cifar10", data::Split::train, {{}, "/nonexistent", 0}), IoError);
}

}  // namespace
}  // namespace resnet
