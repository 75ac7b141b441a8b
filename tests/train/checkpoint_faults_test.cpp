// Checkpoints on a disk that fails, or loses its power: one that was reported saved is never lost, and none
// is taken that is not whole.
#include <gtest/gtest.h>

#include <cstdio>

#include "base/files.h"
#include "support/faulty_files.h"
#include "support/simulated_disk.h"
#include "train/checkpoint_keeper.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(test::kDisk) / "run" / "checkpoints";
const train::Facts kFacts = {{"FitOptions::lr", "0.1"}};

struct Writer {
  nn::Sequential net = test::tiny_network();
  std::unique_ptr<test::ScriptedEngine> engine;
  std::string notes;

  Writer() {
    nn::init(net, net.scheme(), 0);
    engine = std::make_unique<test::ScriptedEngine>(network_of(net, Shape{1, 1, 4, 4}),
                                                    std::make_shared<test::EngineLog>());
  }
  CheckpointOptions options(bool resume) {
    return {.folder = kFolder, .keep = 2, .resume = resume, .note = [this](const std::string& line) {
              notes += line;
            }};
  }
  train::Checkpoint at(std::int64_t steps) const {
    train::Checkpoint checkpoint{.run = {},
                                 .facts = kFacts,
                                 .state = engine->state(StateScope::all),
                                 .average = {},
                                 .best = {},
                                 .version = {},
                                 .libraries = {}};
    checkpoint.run.steps = checkpoint.run.progress.epoch = steps;
    checkpoint.run.curve.resize(static_cast<std::size_t>(steps));
    return checkpoint;
  }
  void write(train::CheckpointKeeper& keeper, std::int64_t steps) const {
    keeper.keep(
        steps, [&] { return at(steps); }, true);
  }
  // The steps of the newest one that is whole; 0: there is none.
  std::int64_t newest() {
    train::CheckpointKeeper keeper(options(true), 1, 1);
    const std::optional<train::Checkpoint> found = keeper.newest(kFacts, *engine);
    return found ? found->run.steps : 0;
  }
};

TEST(CheckpointFaults, LeaveTheNewestOneOrTheOneBefore) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  const std::int64_t count = test::for_each_fault(
      [&] {
        make_directories(kFolder);
        std::error_code error;
        for (const fs::path& name : list_names(kFolder, error)) remove_file(kFolder / name);
        train::CheckpointKeeper keeper(writer.options(false), 1, 1);
        for (const std::int64_t steps : {1, 2, 3}) writer.write(keeper, steps);
        writer.notes.clear();
      },
      [&] {
        train::CheckpointKeeper keeper(writer.options(true), 1, 1);
        writer.write(keeper, 4);
      },
      [&](const test::Tried& tried) {
        const bool told = !writer.notes.empty() || !tried.done;
        const std::int64_t newest = writer.newest();
        EXPECT_TRUE(newest == 4 || (told && newest == 3)) << tried << ": " << newest << " " << writer.notes;
        EXPECT_LE(checkpoints_in(kFolder).size(), 4U) << tried;
      });
  EXPECT_GT(count, 100);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

TEST(CheckpointPowerLoss, LeavesWhatWasReportedSaved) {
  Writer writer;
  const test::PowerLossResult result = test::for_each_power_loss(
      [&](test::SimulatedDisk& disk) {
        make_directories(kFolder);
        disk.settle();
        train::CheckpointKeeper keeper(writer.options(false), 1, 1);
        for (std::int64_t steps = 1; steps <= 5; ++steps) {
          writer.write(keeper, steps);
          EXPECT_EQ(writer.notes, "");
          disk.report();
        }
      },
      [&](int reported) -> std::string {
        try {
          const std::int64_t newest = writer.newest();
          return newest >= reported ? "" : "the newest is of step " + std::to_string(newest);
        } catch (const Error& error) {
          return reported == 0 ? "" : error.what();
        }
      });
  EXPECT_EQ(result.lost, 0U) << result.first;
  EXPECT_GT(result.states, 100U);
  std::printf("%zu states after %zu operations\n", result.states, result.operations);
}

}  // namespace
}  // namespace resnet
