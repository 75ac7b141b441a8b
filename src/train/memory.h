// The memory of a run, known before its first step.
#pragma once

#include <cstdint>
#include <functional>

#include "resnet/train.h"

namespace resnet::train {

/// What a run takes at the most at a time besides what is resident before its first step, bytes.
struct MemoryNeed {
  std::int64_t engine = 0;      // its arena; of a GPU's what stands beside it in the process
  std::int64_t batches = 0;     // that are made ahead, of training and of evaluation, and what makes them
  std::int64_t checkpoint = 0;  // copies of the state, for a file or a measured warm-up
  std::int64_t copies = 0;      // averages, the best so far, gradients that are added up
  std::int64_t rest = 0;        // stacks, code, lists
  std::int64_t device = 0;      // of a GPU's own memory, which is in no total
  std::int64_t total() const noexcept { return engine + batches + checkpoint + copies + rest; }
};

/// Of a run of these options, of which `prefetch` batches are made ahead. Plans its steps; an engine without
/// plans counts for nothing.
MemoryNeed need_of(const FitOptions& options, Engine& engine, const nn::Module& net,
                   const data::Dataset& train, const data::Dataset& test, int prefetch);

/// Fits a run into the memory that there is, EngineOptions::memory where that is given, and a GPU's own, by
/// what changes none of its numbers: batches made ahead, whose number it gives, and pictures that are kept.
/// Throws MemoryError where it does not fit, with what would.
int fit_into_memory(const FitOptions& options, Engine& engine, const nn::Module& net,
                    const data::Dataset& train, const data::Dataset& test);

/// The same of an evaluation.
int fit_into_memory(Engine& engine, const data::Dataset& test, const EvaluateOptions& options);

/// Throws MemoryError where `most` resident bytes (0: the machine) leave no room for the network's values and
/// the copies of them that an engine begins with. They need not be set.
void check_parameters(const nn::Module& net, std::int64_t most);

/// Gives the network what was trained, or what `trained` gives. Throws NotKept where memory ends.
void keep_trained(nn::Module& net, const State& trained);
void keep_trained(nn::Module& net, const std::function<State()>& trained);

}  // namespace resnet::train
