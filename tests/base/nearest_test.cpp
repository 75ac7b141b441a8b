#include "base/nearest.h"

#include <gtest/gtest.h>

namespace resnet {
namespace {

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> names = {"train", "eval", "summary", "batch-size"};
  EXPECT_EQ(nearest("trian", names), "train");
  EXPECT_EQ(nearest("evl", names), "eval");
  EXPECT_EQ(nearest("summery", names), "summary");
  EXPECT_EQ(nearest("batchsize", names), "batch-size");
  EXPECT_EQ(nearest("eval", names), "eval");
  EXPECT_EQ(nearest("batch", names), "batch-size") << "its beginning";
  EXPECT_EQ(nearest("evaluate", names), "eval") << "and more than all of it";
}

TEST(Nearest, OffersNothingThatIsFar) {
  EXPECT_EQ(nearest("predict", {"train", "eval"}), "");
  EXPECT_EQ(nearest("x", {"train", "evaluate"}), "");
  EXPECT_EQ(nearest("train", {}), "");
  EXPECT_EQ(nearest("wd", {"lr", "seed"}), "") << "two edits of two letters";
}

TEST(Nearest, TakesTheFirstOfSeveral) {
  EXPECT_EQ(nearest("lim", {"limit-train", "limit-test"}), "limit-train");
  EXPECT_EQ(nearest("resnet19", {"resnet18", "resnet10"}), "resnet18");
}

}  // namespace
}  // namespace resnet
