// A run as fit() writes it, its checkpoints by a thread of their own beside its records, on a disk that loses its power.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "base/files.h"
#include "resnet/report.h"
#include "support/simulated_disk.h"
#include "train/checkpoint.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

const fs::path kRun = fs::path(test::kDisk) / "run";
const fs::path kCheckpoints = kRun / "checkpoints";

// Reports a checkpoint as saved when the folder of checkpoints is flushed behind its last name.
class Reporting final : public test::PassedOn {
 public:
  explicit Reporting(test::SimulatedDisk& disk) : PassedOn(static_cast<FileSystem&>(disk)), disk_(disk) {}
  int rename(const char* from, const char* to) noexcept override {
    const int result = under_.rename(from, to);
    if (result == 0 && fs::path(to).parent_path() == kCheckpoints) renamed_ = true;
    return result;
  }
  int fsync(int fd) noexcept override {
    struct stat flushed {
    }, folder{};
    const bool is_folder = under_.fstat(fd, &flushed) == 0 &&
                           under_.stat(kCheckpoints.c_str(), &folder) == 0 && flushed.st_ino == folder.st_ino;
    const int result = under_.fsync(fd);
    if (result == 0 && is_folder && renamed_.exchange(false)) disk_.report();
    return result;
  }

 private:
  test::SimulatedDisk& disk_;
  std::atomic<bool> renamed_ = false;
};

// Two steps an epoch: the n-th report is of step n.
FitOptions options() {
  FitOptions options{.epochs = 3, .batch_size = 4, .lr = 0.1F};
  options.engine.threads = 1;
  return options;
}

FitResult run(FitOptions options) {
  nn::Sequential net = test::tiny_network();
  return fit(net, test::counted(8), test::counted(8), options);
}

FitOptions recorded(bool resumed) {
  FitOptions recorded = options();
  recorded.checkpoints = {
      .folder = kCheckpoints, .every_steps = 1, .every_seconds = 0, .every_epoch = false, .resume = resumed};
  recorded.observers = {run_folder(kRun)};
  return recorded;
}

TEST(PowerLossOfFit, LosesNoCheckpointThatWasSavedAndGoesOnAsIfNothingHadBeen) {
  const std::string undisturbed = run(options()).weights_sha256;
  const test::PowerLossResult result = test::for_each_power_loss(
      [](test::SimulatedDisk& disk) {
        Reporting reporting(disk);
        const test::FilesReplaced replaced(reporting);
        run(recorded(false));
      },
      [&](int reported) -> std::string {
        std::int64_t newest = 0;
        try {
          for (const fs::path& path : checkpoints_in(kCheckpoints))
            newest = std::max(newest, train::read_checkpoint(path).run.steps);
          if (newest < reported) return "the newest is of step " + std::to_string(newest);
          return run(recorded(true)).weights_sha256 == undisturbed ? "" : "another network";
        } catch (const Error& error) {
          return error.what();
        }
      },
      1000);
  std::printf("%zu operations, %zu states, %zu lost\n", result.operations, result.states, result.lost);
  EXPECT_EQ(result.lost, 0U) << result.first;
  EXPECT_GT(result.states, 1000U);
}

}  // namespace
}  // namespace resnet
