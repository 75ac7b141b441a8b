// A run's folder of checkpoints: when one is due, its writing beside the training, which ones stay.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/threads.h"
#include "resnet/checkpoint.h"
#include "train/checkpoint.h"

namespace resnet::train {

class CheckpointKeeper {
 public:
  /// `batches` are those of an epoch, `accumulate` of which make a step. `folder` is this run's alone; what a
  /// writer left unfinished there is removed. Throws ConfigError where it holds another run's checkpoints,
  /// IoError.
  CheckpointKeeper(CheckpointOptions options, std::int64_t batches, std::int64_t accumulate);
  ~CheckpointKeeper();
  CheckpointKeeper(const CheckpointKeeper&) = delete;
  CheckpointKeeper& operator=(const CheckpointKeeper&) = delete;

  /// The newest checkpoint that is whole, of a run that now has `blank`; what was passed over is told. None
  /// if the folder has none. Throws FormatError where it has some and all are damaged, ConfigError as
  /// read_checkpoint() and check_facts(), IoError where the folder is not where it was. One that is being
  /// written is waited for. Where there is a whole one of fewer steps than `before`, that is the newest: those
  /// of as many and more led to where the run went bad, and are removed.
  std::optional<Checkpoint> newest(const Checkpoint& blank, const Engine& engine,
                                   std::int64_t before = std::numeric_limits<std::int64_t>::max());

  /// Whether it is time for one, at this number of steps.
  bool due(std::int64_t steps) const;
  /// The same after the evaluation of an epoch.
  bool due_after_epoch(std::int64_t steps) const;

  /// Waits for the one before and begins to write the one that `make` gives; the last one is written here and
  /// now. What goes wrong is told, and no more.
  void keep(std::int64_t steps, const std::function<Checkpoint()>& make, bool last);

  void note(const std::string& line) const;  ///< a line for people

 private:
  std::filesystem::path path_of(std::int64_t steps) const;
  /// In a thread of its own. `begin`: since when the run has been waiting.
  void write(Checkpoint checkpoint, std::chrono::steady_clock::time_point begin);
  void save(Checkpoint checkpoint);
  void prune(std::int64_t steps) const;
  void wait();

  CheckpointOptions options_;
  std::int64_t batches_, accumulate_;
  KnownFolder folder_;
  std::int64_t resumed_from_ = -1;  // steps
  std::int64_t last_steps_ = 0;     // of the last one
  std::int64_t top_steps_ = 0;      // of the best one that is on the disk
  std::chrono::steady_clock::time_point last_time_ = std::chrono::steady_clock::now();

  Threads writer_;
  std::exception_ptr failure_;  // of the writer, read when it has ended
  std::atomic<double> write_seconds_ = 0;
  double held_seconds_ = 0;  // in which training waited for the last one
};

}  // namespace resnet::train
