// The drawing of a network: what stands in it, not where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "resnet/models.h"
#include "resnet/nn.h"

namespace resnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

TEST(Drawing, AResidualBlockHasItsBoxesAndItsShortcut) {
  const std::string svg = nn::drawing(nn::Residual{3, 6, {.use_1x1conv = true, .stride = 2}}, {4, 3, 6, 6});
  EXPECT_EQ(count(svg, ">3×3 conv, 6, /2<"), 1);
  EXPECT_EQ(count(svg, ">3×3 conv, 6<"), 1);
  EXPECT_EQ(count(svg, ">1×1 conv, 6, /2<"), 1);
  EXPECT_EQ(count(svg, ">batch norm<"), 2);
  EXPECT_EQ(count(svg, ">ReLU<"), 2);
  EXPECT_EQ(count(svg, "<circle"), 1);
  EXPECT_EQ(count(svg, "class=\"skip\" marker-end"), 2) << "into its convolution, and out of it";
  EXPECT_THAT(svg, HasSubstr(">3×6×6<"));
  EXPECT_THAT(svg, HasSubstr(">6×3×3<"));
  EXPECT_THAT(svg, HasSubstr("prefers-color-scheme: dark"));
  // Light text needs a dark page of its own: that of a browser is white.
  EXPECT_LT(svg.find("<rect class=\"page\""), svg.find("<text class=\"title\""));
  EXPECT_THAT(svg.substr(svg.find("prefers-color-scheme: dark")), HasSubstr(".net .page { fill: #0d1117; }"));
}

TEST(Drawing, RepeatedBlocksAreDrawnOnceWithTheirNumber) {
  const std::string eighteen = nn::drawing(models::d2l_resnet18(), {1, 1, 96, 96});
  EXPECT_EQ(count(eighteen, "class=\"frame\""), 7) << "two equal ones, then three pairs of different ones";
  EXPECT_EQ(count(eighteen, ">× 2<"), 1);
  const std::string deep = nn::drawing(models::resnet152(), {1, 3, 224, 224});
  EXPECT_EQ(count(deep, "class=\"frame\""), 8);
  EXPECT_THAT(deep, HasSubstr(">× 35<"));
}

TEST(Drawing, APlainNetworkHasNoFrames) {
  const std::string svg =
      nn::drawing(nn::Sequential(nn::Conv2d{3, 4, {.kernel = {3, 1}, .stride = {2, 1}}}, nn::ReLU{},
                                 nn::AvgPool2d{}, nn::Flatten{}, nn::Linear{20, 2}),
                  {1, 3, 8, 10});
  EXPECT_THAT(svg, Not(HasSubstr("class=\"frame\"")));
  EXPECT_THAT(svg, HasSubstr(">3×1 conv, 4, /2×1<"));
  EXPECT_THAT(svg, HasSubstr(">2×2 average pool, /2<"));
  EXPECT_THAT(svg, HasSubstr(">fully connected, 2<"));
}

TEST(Drawing, TheFamilysBlocksHaveTheirOwnParts) {
  const nn::BlockOptions options = {
      .stride = 2, .shortcut = nn::Shortcut::avgpool, .groups = 4, .se_reduction = 16, .drop_path = 0.1};
  const std::string svg = nn::drawing(nn::Bottleneck{64, 64, options}, {1, 64, 9, 9});
  EXPECT_EQ(count(svg, ">3×3 conv, 256, /2, 4 groups<"), 1);
  EXPECT_EQ(count(svg, ">2×2 average pool, /2<"), 1) << "on the shortcut";
  EXPECT_EQ(count(svg, ">global average pool<"), 1);
  EXPECT_EQ(count(svg, ">1×1 conv, 16<"), 1) << "squeezed";
  EXPECT_EQ(count(svg, ">sigmoid<"), 1);
  EXPECT_EQ(count(svg, "<circle"), 2) << "the gate's product and the sum";
  EXPECT_EQ(count(svg, "class=\"frame\""), 1);
  const std::string v2 =
      nn::drawing(models::make("resnetv2_18", {.blocks = {3}, .channels = {8}}), {1, 3, 32, 32});
  EXPECT_THAT(v2, HasSubstr(">× 3<"));
  EXPECT_EQ(count(v2, ">batch norm<"), 3) << "two of the block, one behind the last";
  const std::string plain =
      nn::drawing(models::d2l_resnet18({.shortcut = nn::Shortcut::none}), {1, 1, 64, 64});
  EXPECT_EQ(count(plain, "<circle"), 0);
  EXPECT_EQ(count(plain, ">3×3 conv, 64<"), 4);
}

// Sums that the chapter's figures do not have: within one another, of the input, of one value twice.
struct Woven : nn::Module {
  nn::Conv2d& a = add("a", nn::Conv2d{2, 2, {.padding = 1}});
  nn::Conv2d& b = add("b", nn::Conv2d{2, 2, {.padding = 1}});
  Value operator()(Value x) const override {
    const Value y = a(x);
    const Value inner = relu(y + b(y));
    const Value outer = x + inner;
    return outer + outer;
  }
};

TEST(Drawing, NestedSumsKeepAllTheirShortcuts) {
  const std::string svg = nn::drawing(Woven{}, {1, 2, 6, 6});
  EXPECT_EQ(count(svg, "<circle"), 3);
  EXPECT_EQ(count(svg, "class=\"skip\" marker-end"), 3);
}

TEST(Drawing, TitlesAreEscaped) {
  nn::Sequential net(nn::ReLU{});
  net.set_title("a<b & c");
  EXPECT_THAT(nn::drawing(net, {1, 2, 6, 6}), HasSubstr("<title>a&lt;b &amp; c</title>"));
}

}  // namespace
}  // namespace resnet
