// Where memory ends, whatever is under way ends in an error: no crash, no descriptor, no temporary file, no
// half-written one, and what was there is as it was. Some of the allocations; allocations_slow_test.cpp has
// all.
#include <gtest/gtest.h>

#include <cstdio>

#include "fault/allocation_cases.h"

namespace resnet {
namespace {

void expect_failures(const char* what, std::int64_t count) {
  EXPECT_GT(count, 10) << what;
  std::printf("%s: %ld allocations have failed\n", what, static_cast<long>(count));
}

TEST(Allocations, OfSavingLeaveTheOldModelOrTheNewOne) {
  expect_failures("saving a model", test::fail_saving(41));
}

TEST(Allocations, OfLoadingAModel) {
  expect_failures("loading a model", test::fail_loading(101));
}

TEST(Allocations, OfWeightsLeaveTheOldOnesOrTheNewOnes) {
  expect_failures("loading weights", test::fail_weights(7));
}

TEST(Allocations, OfADataSetOfPackedFiles) {
  expect_failures("packed files", test::fail_packed_files(7));
}

TEST(Allocations, OfPicturesAreNoDamage) {
  expect_failures("decoding pictures", test::fail_pictures(13));
}

TEST(Allocations, OfAFolderOfPicturesLoseNone) {
  expect_failures("a folder of pictures", test::fail_folder(61));
}

TEST(Allocations, OfAnEngineLeaveItsState) {
  expect_failures("compiling and a step", test::fail_engine(401));
}

TEST(Allocations, OfARunLoseNoCheckpoint) {
  expect_failures("a run with checkpoints", test::fail_run(997));
}

}  // namespace
}  // namespace resnet
