// What the batches of a run ask of the network and of the loader.
#pragma once

#include <cstdint>
#include <string>

#include "resnet/train.h"

namespace resnet::train {

/// Throws ConfigError for a data set without examples, ShapeError for two whose pictures differ.
void check_data(const data::Dataset& train, const data::Dataset& test);

/// Of the images of a batch.
Shape batch_shape(const FitOptions& options, const data::Dataset& train);

/// Throws what tracing the network throws for the batches of an epoch, the last short one included unless it
/// is dropped; ConfigError where that leaves none.
void check_batches(const nn::Module& net, const data::Dataset& train, std::int64_t batch_size,
                   bool drop_last = false);

/// What the engine does with a batch, and whether its targets are mixed labels.
Work work_of(const FitOptions& options);
bool mixes(const FitOptions& options, const data::Dataset& train);
/// PlannedEngine::plan_sha256() of that; "" for an engine without plans.
std::string plan_of(const FitOptions& options, Engine& engine, const data::Dataset& train);

/// Optimiser steps of an epoch.
constexpr std::int64_t steps_of(std::int64_t batches, std::int64_t accumulate) {
  return batches / accumulate + (batches % accumulate == 0 ? 0 : 1);
}

/// Threads that make the batches of a training: those given, or a quarter of the engine's, from 1 to 8, since a
/// step is far more work than its batch.
int loader_threads(int engine_threads, int given = 0);
/// The same of an evaluation or of answers: as many as the engine's, up to 8, since to decode a picture is
/// often more work than to answer for it.
int answering_threads(int engine_threads, int given = 0);

/// How fit() takes the batches of these options from `train`; prefetch 0: as many as its threads need.
data::LoaderOptions loader_options(const FitOptions& options, int prefetch = 0);
data::Order order_of(const FitOptions& options, const data::Dataset& train);

}  // namespace resnet::train
