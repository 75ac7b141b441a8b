// As allocations_test.cpp, with every allocation.
#include <gtest/gtest.h>

#include <cstdio>

#include "fault/allocation_cases.h"

namespace resnet {
namespace {

void expect_failures(const char* what, std::int64_t count) {
  EXPECT_GT(count, 500) << what;
  std::printf("%s: %ld allocations have failed\n", what, static_cast<long>(count));
}

TEST(EveryAllocation, OfSavingLeaveTheOldModelOrTheNewOne) {
  expect_failures("saving a model", test::fail_saving(1));
}

TEST(EveryAllocation, OfLoadingAModel) {
  expect_failures("loading a model", test::fail_loading(1));
}

TEST(EveryAllocation, OfWeightsLeaveTheOldOnesOrTheNewOnes) {
  expect_failures("loading weights", test::fail_weights(1));
}

TEST(EveryAllocation, OfADataSetOfPackedFiles) {
  expect_failures("packed files", test::fail_packed_files(1));
}

TEST(EveryAllocation, OfPicturesAreNoDamage) {
  expect_failures("decoding pictures", test::fail_pictures(1));
}

TEST(EveryAllocation, OfAFolderOfPicturesLoseNone) {
  expect_failures("a folder of pictures", test::fail_folder(1));
}

TEST(EveryAllocation, OfAnEngineLeaveItsState) {
  expect_failures("compiling and a step", test::fail_engine(1));
}

TEST(EveryAllocation, OfARunLoseNoCheckpoint) {
  expect_failures("a run with checkpoints", test::fail_run(1));
}

}  // namespace
}  // namespace resnet
