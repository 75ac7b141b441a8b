// What the chapter shows of its shapes, on the public headers alone.
#include <gtest/gtest.h>
#include <resnet/resnet.h>

#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace resnet;

TEST(PublicWalk, ResidualKeepsTheShapeOrHalvesTheMap) {
  const Tensor x = random_uniform({4, 3, 6, 6});
  nn::Residual same{3, 3};
  EXPECT_EQ(forward(same, x).shape(), (Shape{4, 3, 6, 6}));
  nn::Residual halved{3, 6, {.use_1x1conv = true, .stride = 2}};
  EXPECT_EQ(forward(halved, x).shape(), (Shape{4, 6, 3, 3}));
}

TEST(PublicWalk, OfTheChaptersNetworkAt224) {
  const nn::Sequential net = models::d2l_resnet18();
  std::ostringstream text;
  text << summary(net, {1, 1, 224, 224});
  std::istringstream lines(text.str());
  const std::vector<std::string> expected = {"[1, 64, 56, 56]",  "[1, 64, 56, 56]", "[1, 128, 28, 28]",
                                             "[1, 256, 14, 14]", "[1, 512, 7, 7]",  "[1, 512, 1, 1]",
                                             "[1, 512]",         "[1, 10]"};
  for (const std::string& shape : expected) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_EQ(line.substr(line.find("output shape:\t") + 14), shape) << line;
  }
  EXPECT_EQ(nn::parameter_count(net), 11178378);
}

}  // namespace
