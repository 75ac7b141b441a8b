// What a data set holds, and labels that it does not.
#include "data/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "resnet/error.h"

namespace resnet::data {
namespace {

using testing::HasSubstr;

// Gray pictures of one pixel, each its own; labels as they are given.
class Labelled final : public Dataset::Source {
 public:
  explicit Labelled(std::vector<std::int32_t> labels) : labels_(std::move(labels)) {}
  std::int64_t size() const override { return std::ssize(labels_); }
  std::int32_t label(std::int64_t i) const override { return labels_[static_cast<std::size_t>(i)]; }
  void image(std::int64_t i, Image& out) const override { out = {1, 1, 1, {static_cast<std::uint8_t>(i)}}; }

 private:
  std::vector<std::int32_t> labels_;
};

Dataset set_of(std::vector<std::int32_t> labels, const std::vector<std::string>& classes) {
  return {std::make_shared<Labelled>(std::move(labels)), "labelled", classes, {}, Shape{1, 1, 1}};
}

TEST(Survey, CountsTheTestSetsClassesUnderTheirNames) {
  const Dataset train = set_of({0, 0, 1}, {"a", "b"});
  const Dataset test = set_of({0, 1, 1, 1, 1}, {"a", "b"}).with_classes({"x", "y", "b", "z", "a"});
  const Survey found = survey({train, test});
  ASSERT_EQ(found.classes.size(), 2U);
  EXPECT_EQ(found.classes[0].name, "a");
  EXPECT_EQ(found.classes[0].train, 2);
  EXPECT_EQ(found.classes[0].test, 1);
  EXPECT_EQ(found.classes[1].test, 4);
  EXPECT_EQ(found.twice.overlaps, 3);
  EXPECT_EQ(found.twice.in_classes, 1) << "picture 1: a, then b";
}

TEST(Survey, CountsWhatIsInTheValidationSetToo) {
  const std::vector<std::string> one = {"a"};
  const Survey found = survey({set_of({0, 0}, one), set_of({0}, one), set_of({0, 0, 0, 0}, one)});
  EXPECT_EQ(found.twice.overlaps, 1);
  EXPECT_EQ(found.validation, 4);
  EXPECT_EQ(found.twice.val_overlaps, 2);
}

TEST(Survey, HasTheLeastTheMiddleAndTheMostOfTheSides) {
  class Sized final : public Dataset::Source {
   public:
    std::int64_t size() const override { return 3; }
    std::int32_t label(std::int64_t) const override { return 0; }
    void image(std::int64_t i, Image& out) const override {
      constexpr std::int64_t kSides[3][2] = {{2, 5}, {3, 7}, {9, 8}};
      const auto [height, width] = kSides[i];
      out = {height, width, 1, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width))};
    }
  };
  const Dataset set(std::make_shared<Sized>(), "sized", {"a"}, {}, Shape{1, 1, 1});
  const Survey found = survey({set, set.first(0)});
  EXPECT_EQ(found.height.least, 2);
  EXPECT_EQ(found.height.median, 3);
  EXPECT_EQ(found.height.most, 9);
  EXPECT_EQ(found.width.least, 5);
  EXPECT_EQ(found.width.median, 7);
  EXPECT_EQ(found.width.most, 8);
}

TEST(Survey, AClassOfTheTestSetAloneStandsBehindTheOthers) {
  const Survey found = survey({set_of({0}, {"a"}), set_of({1, 0}, {"a", "b"})});
  ASSERT_EQ(found.classes.size(), 2U);
  EXPECT_EQ(found.classes[1].name, "b");
  EXPECT_EQ(found.classes[1].test, 1);
}

TEST(Dataset, RefusesLabelsThatAreNotThere) {
  const Dataset set = set_of({0, 2, -1}, {"a", "b"});
  EXPECT_EQ(set.label(0), 0);
  for (const std::int64_t i : {1, 2}) EXPECT_THROW(set.label(i), FormatError) << i;
  for (const std::int64_t i : {-1, 3}) EXPECT_THROW(set.label(i), Error) << i;
  EXPECT_THROW(set.first(1).label(1), Error) << "left out";
  EXPECT_THROW(set.with_classes({"b", "a"}).label(1), FormatError) << "also behind other names";
  EXPECT_THROW(classes_without_examples(set), FormatError);
}

}  // namespace
}  // namespace resnet::data
