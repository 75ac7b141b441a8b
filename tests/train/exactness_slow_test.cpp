// Exactness as a matrix: what a run gives is the same to the last bit for any number of threads, and wherever
// it was resumed, with every kind of run, precision and instruction set of this machine.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/machine.h"
#include "resnet/models.h"
#include "train/checkpoint_case.h"

namespace resnet {
namespace {

// Of each instruction set of this machine, in each precision.
std::vector<EngineOptions> engines() {
  std::vector<EngineOptions> engines;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
      const EngineOptions engine = {.isa = std::string(name_of(isa)), .precision = precision};
      try {
        check(engine);
        engines.push_back(engine);
      } catch (const ConfigError&) {  // another machine's
      }
    }
  }
  return engines;
}

data::Dataset enlarged(std::int64_t size, std::uint64_t seed) {
  return {std::make_shared<test::Noise>(size, seed),
          "noise",
          {"a", "b", "c"},
          {.resize = 64, .channels = 3},
          Shape{3, 64, 64}};
}

TEST(Exactness, HasOneHashForAnyThreadsAndResumes) {
  long runs = 0, hashes = 0;
  for (const EngineOptions& engine : engines()) {
    for (const test::Kind& kind : test::kinds()) {
      const test::Run run(kind, engine);
      const ScratchFolder all;
      const auto checkpoints = run.stepped_in(all.path());
      ++hashes;
      for (const int threads : test::kThreads) {
        FitOptions options = run.options;
        options.engine.threads = threads;
        EXPECT_EQ(test::outcome(options), run.undisturbed) << kind.name << ", threads " << threads;
        for (const auto& checkpoint : checkpoints) run.expect_same_from(checkpoint, threads);
        runs += 1 + static_cast<long>(checkpoints.size());
      }
    }
  }
  std::printf("%ld runs, %ld hashes: each the same for threads 1, 2, 3, 4, 8 and resumes after every step\n",
              runs, hashes);
}

// Of full width, so that every kernel has several tasks, and sums of several parts.
TEST(Exactness, OfWholeNetworksHasOneHashForAnyThreads) {
  const data::Dataset train = enlarged(22, 1), tested = enlarged(9, 2);
  long hashes = 0;
  for (const EngineOptions& engine : engines()) {
    for (const char* model : {"d2l_resnet18", "resnext50_32x4d", "seresnet50"}) {
      std::string first;
      for (const int threads : test::kThreads) {
        FitOptions options = test::plain(1);
        options.engine = engine;
        options.engine.threads = threads;
        nn::Sequential net = models::make(model, {.in_channels = 3, .classes = 3});
        const std::string hash = fit(net, train, tested, options).weights_sha256;
        if (first.empty()) first = hash;
        EXPECT_EQ(hash, first) << model << ", " << engine.isa << ", threads " << threads;
      }
      ++hashes;
    }
  }
  std::printf("%ld networks, each with one hash for threads 1, 2, 3, 4, 8\n", hashes);
}

}  // namespace
}  // namespace resnet
