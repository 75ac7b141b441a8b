// Checkpoints on a disk that fails, or loses its power: one that was reported saved is never lost, and none
// is taken that is not whole.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <new>

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
                                 .network = {},
                                 .version = {},
                                 .libraries = {},
                                 .plan_sha256 = {}};
    checkpoint.run.steps = checkpoint.run.progress.epoch = steps;
    checkpoint.run.curve.resize(static_cast<std::size_t>(steps));
    return checkpoint;
  }
  void write(train::CheckpointKeeper& keeper, std::int64_t steps) const {
    keeper.keep(
        steps, [&] { return at(steps); }, true);
  }
  // A run that writes one and ends.
  void begin_with(std::int64_t steps) {
    train::CheckpointKeeper keeper(options(false), 1, 1);
    write(keeper, steps);
  }
  // The steps of the newest one that is whole; 0: there is none.
  std::int64_t newest() {
    train::CheckpointKeeper keeper(options(true), 1, 1);
    const std::optional<train::Checkpoint> found = keeper.newest(at(0), *engine);
    return found ? found->run.steps : 0;
  }
};

std::vector<std::int64_t> steps_left() {
  std::vector<std::int64_t> left;
  for (const fs::path& path : checkpoints_in(kFolder)) left.push_back(train::read_checkpoint(path).run.steps);
  return left;
}

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

// What cannot be read is passed over and told, or the run ends: it never begins anew.
TEST(CheckpointFaults, OfResumingGoOnFromAnOlderOneOrEndTheRun) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  make_directories(kFolder);
  {
    train::CheckpointKeeper keeper(writer.options(false), 1, 1);
    for (const std::int64_t steps : {1, 2, 3}) writer.write(keeper, steps);
  }
  std::int64_t found = 0;
  const std::int64_t count = test::for_each_fault(
      [&] { writer.notes.clear(); },
      [&] {
        found = -1;
        try {
          found = writer.newest();
        } catch (const FormatError& error) {  // all of them are passed over
          throw IoError(error.what(), error.hint());
        }
      },
      [&](const test::Tried& tried) {
        EXPECT_NE(found, 0) << tried << ": it would begin anew";
        EXPECT_TRUE(found == -1 || found == 3 || (found == 2 && writer.notes.starts_with("passed over: ")))
            << tried << ": " << found << " " << writer.notes;
        EXPECT_EQ(found == -1, !tried.done) << tried;
        EXPECT_EQ(checkpoints_in(kFolder).size(), 2U) << tried;
      });
  EXPECT_GT(count, 100);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

TEST(CheckpointKeeper, TellsOfACheckpointThatCouldNotBeMade) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  train::CheckpointKeeper keeper(writer.options(false), 1, 1);
  for (const bool last : {false, true}) {
    writer.notes.clear();
    keeper.keep(
        4, []() -> train::Checkpoint { throw std::bad_alloc(); }, last);
    EXPECT_TRUE(writer.notes.starts_with("no checkpoint at step 4: ")) << writer.notes;
    EXPECT_EQ(writer.notes.ends_with("; training goes on"), !last) << writer.notes;
  }
  EXPECT_TRUE(checkpoints_in(kFolder).empty());
}

TEST(CheckpointKeeper, IsDueByStepsByTimeOrAfterAnEpochThatWasLongEnough) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  const auto keeper = [&](std::int64_t steps, double seconds, bool epoch) {
    CheckpointOptions options = writer.options(true);
    options.every_steps = steps;
    options.every_seconds = seconds;
    options.every_epoch = epoch;
    return std::make_unique<train::CheckpointKeeper>(options, 1, 1);
  };
  const auto steps = keeper(3, 0, false);
  EXPECT_FALSE(steps->due(0));
  EXPECT_FALSE(steps->due(2));
  EXPECT_TRUE(steps->due(3));
  EXPECT_TRUE(steps->due_after_epoch(6));
  EXPECT_FALSE(steps->due_after_epoch(5));
  EXPECT_FALSE(keeper(0, 1e6, false)->due(5));
  EXPECT_TRUE(keeper(0, 1e-9, false)->due(5));
  const auto epochs = keeper(0, 0, true);
  EXPECT_TRUE(epochs->due_after_epoch(5)) << "the last one took no time";
  EXPECT_FALSE(epochs->due_after_epoch(0));
  epochs->keep(
      5, [&] { return writer.at(5); }, false);
  EXPECT_FALSE(epochs->due_after_epoch(5)) << "it is there";
  const auto poor = keeper(0, 0, true);
  poor->keep(
      5, []() -> train::Checkpoint { throw std::bad_alloc(); }, false);
  EXPECT_FALSE(poor->due_after_epoch(5)) << "it was told of, and is not tried at once again";
}

TEST(CheckpointKeeper, KeepsTheBestThatCouldBeWritten) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  train::CheckpointKeeper keeper(writer.options(false), 1, 1);
  const auto keep = [&](std::int64_t steps, std::int64_t top) {
    keeper.keep(
        steps,
        [&] {
          train::Checkpoint checkpoint = writer.at(steps);
          checkpoint.run.top_steps = top;
          return checkpoint;
        },
        true);
  };
  keep(1, 1);
  for (std::int64_t steps = 3; steps < 7; ++steps)
    keep(steps, 2);  // the better one, of step 2, was not written
  const std::vector<fs::path> left = checkpoints_in(kFolder);
  ASSERT_EQ(left.size(), 3U);
  EXPECT_TRUE(left.back().filename().string().starts_with("step-000000001")) << left.back();
  keep(7, 7);
  keep(8, 7);
  keep(9, 7);
  keep(10, 7);
  EXPECT_EQ(checkpoints_in(kFolder).size(), 3U) << "a better one takes its place";
}

TEST(CheckpointKeeper, GoesOnFromOneThatItHadGivenUpWhereNoOtherIsWhole) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  {
    train::CheckpointKeeper keeper(writer.options(false), 1, 1);
    writer.write(keeper, 1);
    writer.write(keeper, 2);
  }
  const auto newest = [&] {
    train::CheckpointKeeper keeper(writer.options(true), 1, 1);
    return keeper.newest(writer.at(0), *writer.engine, 2)->run.steps;
  };
  write_file(checkpoints_in(kFolder)[1], "damaged");
  EXPECT_EQ(newest(), 2);
  EXPECT_EQ(checkpoints_in(kFolder).size(), 2U) << "it is there yet";
  train::write_checkpoint(checkpoints_in(kFolder)[1], writer.at(1));
  EXPECT_EQ(newest(), 1);
  EXPECT_EQ(checkpoints_in(kFolder).size(), 1U) << "what was given up is gone";
}

TEST(CheckpointKeeper, RemovesNoneOfMoreSteps) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  writer.begin_with(9);
  train::CheckpointKeeper keeper(writer.options(true), 1, 1);
  for (std::int64_t steps = 1; steps <= 4; ++steps) writer.write(keeper, steps);
  EXPECT_EQ(steps_left(), (std::vector<std::int64_t>{9, 4, 3}));
}

TEST(CheckpointKeeper, KeepsWhatTheRunWentOnFrom) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  Writer writer;
  writer.begin_with(1);
  train::CheckpointKeeper keeper(writer.options(true), 1, 1);
  ASSERT_TRUE(keeper.newest(writer.at(0), *writer.engine).has_value());
  for (std::int64_t steps = 2; steps <= 5; ++steps) writer.write(keeper, steps);
  EXPECT_EQ(steps_left(), (std::vector<std::int64_t>{5, 4, 1}));
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
