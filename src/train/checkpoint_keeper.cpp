#include "train/checkpoint_keeper.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "base/descriptor.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/text.h"
#include "resnet/version.h"

namespace resnet {

void check(const CheckpointOptions& options) {
  if (options.every_steps < 0) throw ConfigError("CheckpointOptions::every_steps cannot be negative");
  if (options.keep < 1) throw ConfigError("CheckpointOptions::keep must be at least 1");
  if (!std::isfinite(options.every_seconds) || options.every_seconds < 0)
    throw ConfigError("CheckpointOptions::every_seconds must be a finite number of at least 0");
  if (options.resume && options.folder.empty())
    throw ConfigError("CheckpointOptions::resume without CheckpointOptions::folder");
}

namespace train {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";
constexpr double kMostShare = 0.01;  // of the time, for checkpoints of epochs

// The steps in the name of a checkpoint's file; -1: it is none.
std::int64_t steps_of(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  const char* const begin = name.data() + kPrefix.size();
  const char* const end = name.data() + name.size() - kSuffix.size();
  std::int64_t steps = -1;
  const auto [stop, error] = std::from_chars(begin, end, steps);
  return error == std::errc() && stop == end ? steps : -1;
}

std::string name_of(std::int64_t steps) {
  return fmt::format("{}{:09}{}", kPrefix, steps, kSuffix);
}

std::string plan_text(const std::string& sha256) {
  return sha256.empty() ? "" : "plan " + sha256.substr(0, 12);
}

// The steps of all checkpoints in a folder, the newest first.
std::vector<std::int64_t> all_in(const fs::path& folder) {
  std::vector<std::int64_t> found;
  std::error_code error;
  const std::vector<fs::path> names = list_names(folder, error);
  if (error && error != std::errc::no_such_file_or_directory)
    throw_io_error("read the folder", folder, error.value());
  for (const fs::path& name : names) {
    if (const std::int64_t steps = steps_of(name.string()); steps >= 0) found.push_back(steps);
  }
  std::ranges::sort(found, std::greater<>());
  return found;
}

}  // namespace

CheckpointKeeper::CheckpointKeeper(CheckpointOptions options, std::int64_t batches, std::int64_t accumulate)
    : options_(std::move(options)), batches_(batches), accumulate_(accumulate) {
  make_directories(options_.folder);
  folder_ = KnownFolder(options_.folder);
  remove_temporaries(options_.folder);
  if (options_.resume || all_in(options_.folder).empty()) return;
  throw ConfigError(fmt::format("{} holds the checkpoints of another run", options_.folder.string()),
                    "go on with that (CheckpointOptions::resume), or give another folder");
}

CheckpointKeeper::~CheckpointKeeper() {
  writer_.join();
}

fs::path CheckpointKeeper::path_of(std::int64_t steps) const {
  return options_.folder / name_of(steps);
}

void CheckpointKeeper::note(const std::string& line) const {
  if (options_.note) options_.note(line);
}

std::optional<Checkpoint> CheckpointKeeper::newest(const Checkpoint& blank, const Engine& engine,
                                                   std::int64_t before) {
  wait();
  if (folder_.is_gone()) {
    throw IoError(fmt::format("{} was moved or removed while the run went on", options_.folder.string()),
                  "its checkpoints are needed where they were");
  }
  std::vector<std::int64_t> all = all_in(options_.folder);
  const auto older = std::ranges::find_if(all, [before](std::int64_t steps) { return steps < before; });
  const std::vector<std::int64_t> given_up(all.begin(), older);
  std::rotate(all.begin(), older, all.end());  // those are tried last
  std::string last;
  for (const std::int64_t steps : all) {
    const fs::path path = path_of(steps);
    try {
      Checkpoint checkpoint = read_checkpoint(path);
      check_facts(path, checkpoint.facts, blank.facts);
      check_state(path, checkpoint, engine);
      check_place(path, checkpoint.run, batches_, accumulate_);
      for (const auto& [then, now] :
           {std::pair(fmt::format("resnet {}", checkpoint.version), fmt::format("resnet {}", kVersion)),
            std::pair(checkpoint.libraries, blank.libraries),
            std::pair(plan_text(checkpoint.plan_sha256), plan_text(blank.plan_sha256))}) {
        if (!then.empty() && then != now)
          note(fmt::format("{} was written with {}; this is {}: last bits may differ", path.string(),
                           shown(then, 200), now));
      }
      note(fmt::format("going on from {}, epoch {}, step {}", path.string(),
                       checkpoint.run.progress.epoch + 1, steps));
      resumed_from_ = last_steps_ = steps;
      top_steps_ = -1;  // the best one may not have been written: the newest before it
      for (const std::int64_t other : all) {
        if (other <= checkpoint.run.top_steps) top_steps_ = std::max(top_steps_, other);
      }
      for (const std::int64_t other : given_up) {  // else a resume would take it
        if (steps < before) remove_file(path_of(other));
      }
      return checkpoint;
    } catch (const FormatError& error) {
      last = error.what();
    } catch (const IoError& error) {
      last = error.what();
    }
    note("passed over: " + last);
  }
  if (all.empty()) return std::nullopt;
  throw FormatError(fmt::format("{} has no checkpoint that is whole: {}", options_.folder.string(), last),
                    "without a resume the run begins anew");
}

bool CheckpointKeeper::due(std::int64_t steps) const {
  if (steps <= last_steps_) return false;
  if (options_.every_steps > 0 && steps % options_.every_steps == 0) return true;
  return options_.every_seconds > 0 && seconds_since(last_time_) >= options_.every_seconds;
}

bool CheckpointKeeper::due_after_epoch(std::int64_t steps) const {
  if (due(steps)) return true;
  return options_.every_epoch && steps > last_steps_ &&
         kMostShare * seconds_since(last_time_) >= write_seconds_ + held_seconds_;
}

void CheckpointKeeper::keep(std::int64_t steps, const std::function<Checkpoint()>& make, bool last) {
  const auto begin = Steady::now();
  wait();  // before there are two copies of the state
  try {
    if (last) return save(make());
    write(make(), begin);
  } catch (
      const std::exception& error) {  // too little memory, or no thread: tried again when the next is due
    last_steps_ = steps;
    last_time_ = Steady::now();
    note(fmt::format("no checkpoint at step {}: {}{}", steps, reason(error),
                     last ? "" : "; training goes on"));
  }
}

void CheckpointKeeper::write(Checkpoint checkpoint, Steady::time_point begin) {
  last_steps_ = checkpoint.run.steps;
  last_time_ = Steady::now();
  const auto shared = std::make_shared<Checkpoint>(std::move(checkpoint));
  writer_.start(1, [this, shared](int) {
    const auto started = Steady::now();
    try {
      save(std::move(*shared));
    } catch (...) {  // told where that can fail
      failure_ = std::current_exception();
    }
    write_seconds_ = seconds_since(started);
  });
  held_seconds_ = seconds_since(begin);
}

void CheckpointKeeper::save(Checkpoint checkpoint) {
  const std::int64_t steps = checkpoint.run.steps, top_steps = checkpoint.run.top_steps;
  write_checkpoint(path_of(steps), std::move(checkpoint), &folder_);
  if (is_there(path_of(top_steps))) top_steps_ = top_steps;  // else the best one that could be written stays
  prune(steps);
}

// Only what a newer one that is on the disk stands in for.
void CheckpointKeeper::prune(std::int64_t steps) const {
  std::int64_t kept = 0;
  for (const std::int64_t other : all_in(options_.folder)) {
    if (other > steps || other == top_steps_ || other == resumed_from_ || kept++ < options_.keep) continue;
    remove_file(path_of(other));
  }
}

void CheckpointKeeper::wait() {
  writer_.join();
  if (failure_ == nullptr) return;
  try {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  } catch (const std::exception& error) {
    note(fmt::format("no checkpoint at step {}: {}; training goes on", last_steps_, reason(error)));
  }
}

}  // namespace train

std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const std::int64_t steps : train::all_in(folder)) paths.push_back(folder / train::name_of(steps));
  return paths;
}

}  // namespace resnet
