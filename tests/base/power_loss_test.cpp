// What was said to be saved is there after a loss of power at any moment, whole; and the simulation is one
// that sees each of the mechanisms missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "base/files.h"
#include "support/simulated_disk.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;
using test::PowerLossResult;
using test::SimulatedDisk;

const fs::path kFolder = fs::path(test::kDisk) / "runs" / "a";
const fs::path kFile = kFolder / "file";
constexpr int kVersions = 4;

std::string text(int version) {
  return std::string(static_cast<std::size_t>(1300 + 100 * version), static_cast<char>('0' + version));
}

// The version that a file holds, -1 if none or if it is not whole.
int version_of(const fs::path& path) {
  if (!is_there(path)) return -1;
  const std::string now = read_text(path);
  for (int version = 0; version <= kVersions; ++version) {
    if (now == text(version)) return version;
  }
  return -1;
}

using Write = std::function<void(const fs::path&, const std::string&)>;

const Write kWhole = [](const fs::path& path, const std::string& bytes) { write_file(path, bytes); };

// One version after the other in the place of the one before.
PowerLossResult replacing(const Write& write) {
  PowerLossResult result = test::for_each_power_loss(
      [&](SimulatedDisk& disk) {
        make_directories(kFolder);
        write_file(kFile, text(0));
        disk.settle();
        for (int version = 1; version <= kVersions; ++version) {
          write(kFile, text(version));
          disk.report();
        }
      },
      [](int reported) -> std::string {
        const int version = version_of(kFile);
        return version == reported || version == reported + 1 ? "" : "version " + std::to_string(version);
      });
  std::printf("%zu operations, %zu states, %zu lost\n", result.operations, result.states, result.lost);
  return result;
}

TEST(PowerLoss, LeavesTheOldFileOrTheNewOne) {
  const PowerLossResult result = replacing(kWhole);
  EXPECT_GE(result.states, 40U);
  EXPECT_EQ(result.lost, 0U) << result.first;
}

TEST(PowerLoss, LeavesAFileInAFolderThatWasMade) {
  const auto with = [](const std::function<void()>& make) {
    return test::for_each_power_loss(
        [&](SimulatedDisk& disk) {
          make();
          write_file(kFile, text(0));
          disk.report();
        },
        [](int reported) -> std::string {
          return reported == 0 || version_of(kFile) == 0 ? "" : "the file is gone";
        });
  };
  const PowerLossResult result = with([] { make_directories(kFolder); });
  EXPECT_EQ(result.lost, 0U) << result.first;
  const PowerLossResult unflushed = with([] {
    file_system().mkdir(kFolder.parent_path().c_str(), 0777);
    file_system().mkdir(kFolder.c_str(), 0777);
  });
  EXPECT_GT(unflushed.lost, 0U);
}

TEST(PowerLoss, DoesNotBringBackAFileThatWasRemovedForGood) {
  const auto with = [](const std::function<void(const fs::path&)>& remove) {
    return test::for_each_power_loss(
        [&](SimulatedDisk& disk) {
          make_directories(kFolder);
          write_file(kFile, text(0));
          disk.settle();
          remove(kFile);
          disk.report();
        },
        [](int reported) -> std::string { return reported > 0 && is_there(kFile) ? "it is back" : ""; });
  };
  const PowerLossResult result = with(remove_for_good);
  EXPECT_EQ(result.lost, 0U) << result.first;
  EXPECT_GT(with(remove_file).lost, 0U);
}

// Numbered files, the last two of which are kept: the newest that is whole counts.
PowerLossResult numbered(const std::function<void(int version)>& save) {
  PowerLossResult result = test::for_each_power_loss(
      [&](SimulatedDisk& disk) {
        make_directories(kFolder);
        disk.settle();
        for (int version = 0; version < kVersions; ++version) {
          save(version);
          disk.report();
        }
      },
      [](int reported) -> std::string {
        int newest = -1;
        for (int version = 0; version < kVersions; ++version)
          if (version_of(kFolder / std::to_string(version)) == version) newest = version;
        return newest + 1 >= reported ? "" : "the newest is " + std::to_string(newest);
      });
  std::printf("%zu operations, %zu states, %zu lost\n", result.operations, result.states, result.lost);
  return result;
}

void prune(int version) {
  remove_file(kFolder / std::to_string(version));
}

TEST(PowerLoss, LeavesTheNewestOfNumberedFiles) {
  const auto path = [](int version) { return kFolder / std::to_string(version); };
  const PowerLossResult result = numbered([&](int version) {
    write_file(path(version), text(version));
    prune(version - 2);
  });
  EXPECT_EQ(result.lost, 0U) << result.first;
  const PowerLossResult early = numbered([&](int version) {
    prune(version - 1);
    write_file(path(version), text(version));
  });
  EXPECT_GT(early.lost, 0U) << "the old one was removed before the new one was there";
}

// The mechanisms, one at a time taken away.
enum class Without { files, folders };

class NoFlush final : public test::PassedOn {
 public:
  NoFlush(FileSystem& under, Without without) : PassedOn(under), without_(without) {}
  int fsync(int fd) noexcept override {
    struct stat status {};
    under_.fstat(fd, &status);
    return S_ISDIR(status.st_mode) == (without_ == Without::folders) ? 0 : under_.fsync(fd);
  }

 private:
  Without without_;
};

TEST(PowerLoss, LosesAFileThatIsNotFlushed) {
  const PowerLossResult result = replacing([](const fs::path& path, const std::string& bytes) {
    NoFlush files(file_system(), Without::files);
    const test::FilesReplaced replaced(files);
    write_file(path, bytes);
  });
  EXPECT_GT(result.lost, 0U);
}

TEST(PowerLoss, LosesARenamingWhoseFolderIsNotFlushed) {
  const PowerLossResult result = replacing([](const fs::path& path, const std::string& bytes) {
    NoFlush files(file_system(), Without::folders);
    const test::FilesReplaced replaced(files);
    write_file(path, bytes);
  });
  EXPECT_GT(result.lost, 0U);
}

TEST(PowerLoss, LosesAFileThatIsWrittenInPlace) {
  const PowerLossResult result = replacing([](const fs::path& path, const std::string& bytes) {
    FileSystem& files = file_system();
    const int fd = files.open(path.c_str(), O_WRONLY | O_TRUNC, 0);
    files.write(fd, bytes.data(), bytes.size());
    files.fsync(fd);
    files.close(fd);
  });
  EXPECT_GT(result.lost, 0U);
}

}  // namespace
}  // namespace resnet
