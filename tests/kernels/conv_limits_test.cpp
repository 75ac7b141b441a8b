// What convolutions refuse before they take memory or time for it, and what they must not refuse.
#include <gtest/gtest.h>

#include <chrono>

#include "conv_case.h"
#include "kernels/conv/direct/index_tables.h"
#include "resnet/error.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::input_gradient, ConvPass::weight_gradient};

ConvGeometry square(std::int64_t pixels, std::int64_t kernel, std::int64_t padding) {
  return {.h = pixels, .w = pixels, .kh = kernel, .kw = kernel, .ph = padding, .pw = padding};
}

TEST(ConvLimits, NoAlgorithmTakesOffsetsBeyondThoseOf32Bits) {
  for (const std::int64_t stride : {1, 2}) {
    ConvGeometry g = square(24 * stride, 3, 1);  // 64 tiles of 3x3 outputs
    g.sh = g.sw = stride;
    for (const bool in : {true, false}) {
      g.ci = in ? 45'691'121 : 1;
      g.co = in ? 1 : 45'691'121;
      for (const ConvPass pass : kPasses) {
        for (const ConvAlgorithm* by : conv_algorithms())
          EXPECT_THROW(by->make(g, pass, Isa::avx2), ShapeError) << by->name() << ", " << text_of(g);
      }
    }
  }
}

// 64 channels of 96x96, flattened, to ten classes, and back.
TEST(ConvLimits, ABlockHasAsManyImagesAs32BitsReach) {
  for (const ConvGeometry& g :
       {ConvGeometry{.n = 1024, .ci = 589'824, .co = 10}, ConvGeometry{.n = 1024, .ci = 10, .co = 589'824}}) {
    for (const ConvPass pass : kPasses)
      EXPECT_NO_THROW(choose_conv(g, pass).algorithm->make(g, pass, Isa::avx2)) << text_of(g);
  }
}

TEST(ConvLimits, AreWeighedAtOnceOfTheLongestColumn) {
  EXPECT_NO_THROW(check_conv({.h = std::int64_t{1} << 20, .kh = 3, .ph = 1}));
  const auto start = std::chrono::steady_clock::now();
  const ConvGeometry g = {.h = std::int64_t{1} << 30, .kh = 3, .ph = 1};
  for (int i = 0; i < 20; ++i) EXPECT_GT(conv::valid_taps(g), 0);
  EXPECT_THROW(check_conv(g), ShapeError) << "a vector for each pixel";
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 1);
}

TEST(ConvLimits, KernelsOfWhichEachPixelMeetsOneTapArePlannedInNoTime) {
  EXPECT_THROW(choose_conv(square(1, 1000, 999), ConvPass::forward), ShapeError);
  ConvGeometry patches = square(1000, 1000, 0);
  patches.sh = patches.sw = 1000;
  EXPECT_NO_THROW(choose_conv(patches, ConvPass::forward));
  EXPECT_THROW(choose_conv(patches, ConvPass::input_gradient), ShapeError);
}

TEST(ConvLimits, TablesStayInProportionToTheTensors) {
  const auto start = std::chrono::steady_clock::now();
  ConvGeometry column = {.h = 65536, .kh = 65536, .ph = 32768};
  ConvGeometry sparse = square(4096, 2, 2048);
  sparse.dh = sparse.dw = 2048;
  EXPECT_NO_THROW(choose_conv(sparse, ConvPass::forward));
  for (const ConvGeometry& g : {square(256, 256, 128), square(1000, 1001, 500), column}) {
    for (const ConvPass pass : kPasses) {
      EXPECT_THROW(choose_conv(g, pass), ShapeError) << text_of(g);
      EXPECT_THROW(algorithm("direct").make(g, pass, Isa::avx2), ShapeError) << text_of(g);
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_LT(seconds.count(), 1) << "refused before it is begun";
}

// Another one may serve what would be dearer than the direct one, if that took it.
TEST(ConvLimits, WhatTheDirectOneRefusesIsNeverChosen) {
  ConvGeometry g = square(45, 45, 22);
  g.ci = g.co = 32, g.groups = 2;
  EXPECT_FALSE(algorithm("direct").serves(g, ConvPass::weight_gradient, {}));
  for (const ConvPass pass : kPasses) {
    const ConvChoice choice = choose_conv(g, pass);
    EXPECT_TRUE(choice.algorithm->serves(g, pass, {})) << choice.reason;
    EXPECT_NO_THROW(choice.algorithm->make(g, pass, Isa::avx2)) << choice.reason;
  }
}

TEST(ConvLimits, NetworksHaveTheirTables) {
  ConvGeometry depthwise = square(56, 31, 15), global = square(56, 56, 28), inner = square(512, 256, 0);
  depthwise.ci = depthwise.co = depthwise.groups = 64;
  global.ci = global.co = global.groups = 64;
  ConvGeometry stem = square(1024, 7, 3);
  stem.ci = 3, stem.co = 64, stem.sh = stem.sw = 2;
  ConvGeometry deep = square(7, 7, 3);
  deep.ci = deep.co = 2048;
  for (const ConvGeometry& g :
       {depthwise, global, stem, deep, square(2048, 3, 1), square(2048, 7, 3), square(1, 5, 2)}) {
    for (const ConvPass pass : kPasses) EXPECT_NO_THROW(choose_conv(g, pass)) << text_of(g);
  }
  EXPECT_NO_THROW(choose_conv(inner, ConvPass::forward)) << "it meets no border";
}

TEST(ConvLimits, CountTapsThatMeetTheImage) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const ConvGeometry g = random_geometry(seed);
    const auto axis = [](std::int64_t in, std::int64_t out, std::int64_t taps, std::int64_t stride,
                         std::int64_t padding, std::int64_t dilation) {
      double count = 0;
      for (std::int64_t o = 0; o < out; ++o) {
        for (std::int64_t t = 0; t < taps; ++t) {
          const std::int64_t at = o * stride - padding + t * dilation;
          count += at >= 0 && at < in ? 1 : 0;
        }
      }
      return count;
    };
    EXPECT_EQ(conv::valid_taps(g),
              axis(g.h, g.ho(), g.kh, g.sh, g.ph, g.dh) * axis(g.w, g.wo(), g.kw, g.sw, g.pw, g.dw))
        << text_of(g);
  }
}

}  // namespace
}  // namespace resnet::kernels
