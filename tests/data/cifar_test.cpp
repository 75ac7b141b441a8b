// CIFAR's binary files: records of labels and planes.
#include <gtest/gtest.h>

#include "base/files.h"
#include "resnet/data.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

using Bytes = std::vector<std::uint8_t>;
using data::Split;

constexpr std::size_t kPlane = 32 * 32;

// A record whose pixel i is (first + i, 2 * first, 3 * first), modulo 256.
Bytes record(const Bytes& labels, std::uint8_t first) {
  Bytes bytes = labels;
  for (std::size_t i = 0; i < kPlane; ++i) bytes.push_back(static_cast<std::uint8_t>(first + i));
  bytes.insert(bytes.end(), kPlane, static_cast<std::uint8_t>(2 * first));
  bytes.insert(bytes.end(), kPlane, static_cast<std::uint8_t>(3 * first));
  return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

void put_cifar10(const ScratchFolder& folder) {
  for (std::uint8_t k = 1; k <= 5; ++k) {
    folder.put("data_batch_" + std::to_string(k) + ".bin",
               record({k}, k) + record({9}, static_cast<std::uint8_t>(10 * k)));
  }
  folder.put("test_batch.bin", record({4}, 7));
}

TEST(Cifar10, TrainIsItsFiveFilesInOrderWithPlanesMadePixels) {
  const ScratchFolder folder;
  put_cifar10(folder);
  const data::Dataset train = data::open("cifar10", Split::train, {{}, folder.path(), 0});
  ASSERT_EQ(train.size(), 10);
  EXPECT_EQ(train.name(), "cifar10");
  EXPECT_EQ(train.example_shape(), (Shape{3, 32, 32}));
  EXPECT_EQ(train.label(4), 3);
  EXPECT_EQ(train.label(5), 9);
  const data::Image image = train.image(5);
  EXPECT_EQ(image.channels, 3);
  for (std::size_t i = 0; i < kPlane; ++i) {
    ASSERT_EQ(image.pixels[3 * i], static_cast<std::uint8_t>(30 + i)) << i;
    ASSERT_EQ(image.pixels[3 * i + 1], 60) << i;
    ASSERT_EQ(image.pixels[3 * i + 2], 90) << i;
  }
  EXPECT_EQ(train.classes().at(9), "9");
  EXPECT_EQ(data::cifar10(Split::test, {{}, folder.path(), 0}).size(), 1);
}

// As torchvision unpacks it.
TEST(Cifar10, IsFoundAFolderFurtherDown) {
  const ScratchFolder folder;
  put_cifar10(folder);
  const std::filesystem::path below = folder / "cifar-10-batches-bin";
  make_directories(below);
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                           "data_batch_5.bin", "test_batch.bin"})
    std::filesystem::rename(folder / name, below / name);
  const data::TrainTest sets = data::open("cifar10", {{}, folder.path(), 0});
  EXPECT_EQ(sets.train.size(), 10);
  EXPECT_EQ(sets.test.size(), 1);
}

TEST(Cifar10, TakesClassNamesFromItsFile) {
  const ScratchFolder folder;
  put_cifar10(folder);
  write_file(folder / "batches.meta.txt",
             "airplane\r\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  const data::Dataset test = data::cifar10(Split::test, {{}, folder.path(), 0});
  EXPECT_EQ(test.classes().front(), "airplane");
  EXPECT_EQ(test.classes().back(), "truck");
  for (const std::string& name :
       {std::string("\xff"), std::string(257, 'n')}) {  // no model file would hold it
    write_file(folder / "batches.meta.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n" + name + "\n");
    EXPECT_THROW(data::cifar10(Split::test, {{}, folder.path(), 0}), FormatError) << name;
  }
  write_file(folder / "batches.meta.txt", "airplane\nautomobile\n");
  EXPECT_THROW(data::cifar10(Split::test, {{}, folder.path(), 0}), FormatError);
}

TEST(Cifar100, HasItsFineLabels) {
  const ScratchFolder folder;
  folder.put("train.bin", record({19, 99}, 1) + record({0, 42}, 2));
  folder.put("test.bin", record({3, 7}, 3));
  const data::Dataset train = data::open("cifar100", Split::train, {{}, folder.path(), 0});
  EXPECT_EQ(train.label(0), 99);
  EXPECT_EQ(train.label(1), 42);
  EXPECT_EQ(train.image(1).pixels[0], 2);
  EXPECT_EQ(train.classes().size(), 100U);
  EXPECT_EQ(data::open("cifar100", Split::test, {{}, folder.path(), 0}).label(0), 7);
}

TEST(Cifar, FilesAreRefusedWithOneLineThatSaysWhy) {
  Bytes truncated = record({1}, 1) + record({2}, 2);
  truncated.pop_back();
  const struct {
    const char* what;
    const char* set;
    const char* file;
    Bytes bytes;
    const char* says;
  } cases[] = {
      {"truncated", "cifar10", "test_batch.bin", truncated,
       "truncated, 6145 bytes are not whole records of 3073"},
      {"trailing byte", "cifar10", "test_batch.bin", record({1}, 1) + Bytes{0}, "3074 bytes are not whole"},
      {"empty", "cifar10", "test_batch.bin", {}, "0 bytes are not whole records"},
      {"label", "cifar10", "test_batch.bin", record({1}, 1) + record({10}, 1),
       "label 10 of record 1, but CIFAR-10 has classes 0 to 9"},
      {"fine label", "cifar100", "test.bin", record({1, 100}, 1), "label 100 of record 0"},
      {"coarse label", "cifar100", "test.bin", record({20, 1}, 1), "coarse label 20 of record 0"},
      {"records of CIFAR-10", "cifar100", "test.bin", record({1}, 1),
       "3073 bytes are not whole records of 3074"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    const ScratchFolder folder;
    folder.put(c.file, c.bytes);
    try {
      data::open(c.set, Split::test, {{}, folder.path(), 0});
      ADD_FAILURE() << "was accepted";
    } catch (const FormatError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with((folder / c.file).string() + ": ")) << error.what();
      EXPECT_NE(std::string(error.what()).find(c.says), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST(Cifar, ThatIsMissingNamesTheFirstFileThatIs) {
  const ScratchFolder folder;
  put_cifar10(folder);
  std::filesystem::remove(folder / "data_batch_3.bin");
  try {
    data::cifar10(Split::train, {{}, folder.path(), 0});
    ADD_FAILURE() << "was accepted";
  } catch (const IoError& error) {
    EXPECT_EQ(
        std::string(error.what()),
        "CIFAR-10 is not in " + folder.path().string() +
            ": data_batch_3.bin is missing; it holds data_batch_1.bin, data_batch_2.bin, data_batch_4.bin, "
            "data_batch_5.bin, test_batch.bin");
    EXPECT_NE(error.hint(), "");
  }
}

TEST(Cifar, WithoutAFolderSaysHowToGiveOne) {
  const ScopedVariable variable("RESNET_DATA_DIR", nullptr);
  try {
    data::open("cifar100", Split::train);
    ADD_FAILURE() << "was accepted";
  } catch (const IoError& error) {
    EXPECT_NE(error.hint().find("DatasetOptions::dir"), std::string::npos);
  }
}

}  // namespace
}  // namespace resnet
