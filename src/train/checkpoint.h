// What a checkpoint holds, and its file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "io/safetensors.h"
#include "resnet/engine.h"
#include "resnet/train.h"

namespace resnet::train {

/// What a batch adds to.
struct Counted {
  Progress progress;  // of the epoch; its batch is the next one
  double epoch_loss = 0;
  std::int64_t epoch_correct = 0;
  double seconds = 0;         // in steps
  std::int64_t examples = 0;  // of all epochs
  Progress measured;          // after the last step
};

/// What a run carries from step to step beside its engine: plain values, which a checkpoint holds.
struct RunState : Counted {
  std::int64_t steps = 0;                // of the optimiser
  std::int64_t epochs = 0;               // finished
  std::int64_t averages = 0;             // updates of the average of weights
  double test_acc = 0;                   // of the last evaluation (-1: it was not finite),
  std::int64_t evaluated_at = -1;        // and the steps before it
  double best_acc = -1;                  // of FitOptions::patience
  std::int64_t best_epoch = 0;           // from 1; 0: none
  double top_acc = -1;                   // of the evaluations that have a checkpoint,
  std::int64_t top_steps = -1;           // the best of which has this one
  std::int64_t skipped = 0;              // steps that were not finite, in all,
  std::int64_t skipped_in_row = 0;       // and last
  std::int64_t rollbacks = 0;            // each of which halved the learning rate,
  std::int64_t bad_at = -1;              // the steps at which the last one began,
  std::int64_t back_to = -1;             // and those that it went back to
  double elapsed = 0;                    // wall time of the run
  std::int64_t planned_steps = 0;        // RunInfo's,
  std::vector<StepChange> step_changes;  // and what became of them
  std::vector<CurvePoint> curve;
};

/// What must be the same when a run goes on, by name: options as "FitOptions::lr", and others in words.
using Facts = std::vector<std::pair<std::string, std::string>>;

struct Checkpoint {
  RunState run;
  Facts facts;
  State state;            // StateScope::all
  State average, best;    // may be empty
  io::Metadata network;   // io::metadata_of(), written only: with it read_model() takes the file for a model
  std::string version;    // of the program that wrote it
  std::string libraries;  // libraries_of() the run then; "": not known
  std::string plan_sha256;  // plan_of() it; "": none, or not known
};

/// Beside our own code, what last bits depend on where this device computes: images::libraries() and its own.
std::string libraries_of(const DeviceInfo& device);

inline constexpr std::int64_t kMostCounted = std::int64_t{1} << 53U;  // of steps or anything else in a run

/// Throws ConfigError where the checkpoints of such a run would have more tensors than a file can.
void check_count(const FitOptions& options, const nn::Module& net, const Engine& engine);

/// With this program's version, atomically and durably; with a `folder` as write_file(). Throws
/// IoError.
void write_checkpoint(const std::filesystem::path& path, Checkpoint checkpoint,
                      const KnownFolder* folder = nullptr);

/// Throws IoError, or FormatError for a file that is damaged or no checkpoint; ConfigError for a whole one of
/// another version of the format.
Checkpoint read_checkpoint(const std::filesystem::path& path);

/// Throws FormatError where the tensors are not those of the engine's network: the rest of a run trusts them.
void check_state(const std::filesystem::path& path, const Checkpoint& checkpoint, const Engine& engine);

/// Throws FormatError where no run of `batches` an epoch and `accumulate` of them a step can stand there: the
/// loop over epochs would not end.
void check_place(const std::filesystem::path& path, const RunState& run, std::int64_t batches,
                 std::int64_t accumulate);

/// Throws ConfigError that names the first of `now` that is not as it was in the run of `path`.
void check_facts(const std::filesystem::path& path, const Facts& then, const Facts& now);

/// What all checkpoints of a run have, but for its plan: its facts, libraries and network.
Checkpoint blank_checkpoint(const FitOptions& options, const nn::Module& net, const Engine& engine,
                            const data::Dataset& train, const data::Dataset& test);

/// The facts of a run. `engine` is made for it.
Facts facts_of(const FitOptions& options, const Network& network, const Engine& engine,
               const data::Dataset& train, const data::Dataset& test);

}  // namespace resnet::train
