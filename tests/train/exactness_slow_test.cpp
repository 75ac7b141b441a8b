// Exactness as a matrix: what a run gives is the same to the last bit for any number of threads, and wherever
// it was resumed, with every kind of run, precision and instruction set of this machine.
#include <gtest/gtest.h>

#include <cstdio>

#include "base/machine.h"
#include "train/checkpoint_case.h"

namespace resnet {
namespace {

bool serves(const EngineOptions& options) {
  try {
    check(options);
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

TEST(Exactness, HasOneHashForAnyThreadsAndResumes) {
  long runs = 0, hashes = 0;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    for (const Precision precision : {Precision::f32, Precision::bf16}) {
      const EngineOptions engine = {.isa = std::string(name_of(isa)), .precision = precision};
      if (!serves(engine)) continue;
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
  }
  std::printf("%ld runs, %ld hashes: each the same for threads 1, 2, 3, 4, 8 and resumes after every step\n",
              runs, hashes);
}

}  // namespace
}  // namespace resnet
