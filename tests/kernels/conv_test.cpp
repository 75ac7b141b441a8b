// The native convolutions against the readable ones in double, for every instruction set of this
// machine, on shapes that nobody would think of. conv_slow_test.cpp has ten times as many.
#include "kernels/conv/conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "conv_case.h"
#include "resnet/error.h"

namespace resnet::kernels {
namespace {

using testing::compare;
using testing::ConvMachine;
using Pass = ConvPass;
constexpr Pass kPasses[] = {Pass::forward, Pass::input_gradient, Pass::weight_gradient};

class ConvPerMachine : public ::testing::TestWithParam<ConvMachine> {};

TEST_P(ConvPerMachine, EqualsTheReferenceOnIntegersForRandomShapes) {
  testing::compare_direct_on_integers(GetParam(), 0, 800);
}

TEST_P(ConvPerMachine, StaysWithinTheErrorOfASumOnFloatsForRandomShapes) {
  testing::compare_direct_on_floats(GetParam(), 1000, 1400);
}

// Its transforms add, and halve sums of weights: exact on small integers.
TEST_P(ConvPerMachine, ParityEqualsTheReferenceOnIntegersForRandomShapes) {
  testing::compare_parity(GetParam(), 0, 400);
}

TEST_P(ConvPerMachine, GroupedEqualsTheReferenceForRandomShapes) {
  testing::compare_grouped(GetParam(), 0, 250);
}

TEST_P(ConvPerMachine, WinogradStaysWithinTheErrorOfItsSumsForRandomShapes) {
  testing::compare_winograd(GetParam(), 0, 400);
}

// Shapes that cross every internal edge: chunks of columns, parts of channels, blocks, strips.
TEST_P(ConvPerMachine, EqualsTheReferenceOnIntegersForShapesOfNetworks) {
  const ConvGeometry shapes[] = {
      {.n = 3, .ci = 64, .co = 64, .h = 24, .w = 24, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 5, .ci = 128, .co = 136, .h = 12, .w = 12, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 7, .ci = 256, .co = 80, .h = 6, .w = 6, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 13, .ci = 512, .co = 40, .h = 3, .w = 3, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 1, .ci = 300, .co = 520, .h = 3, .w = 3, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 4, .ci = 64, .co = 128, .h = 24, .w = 24, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 6, .ci = 64, .co = 128, .h = 24, .w = 24, .sh = 2, .sw = 2},
      {.n = 3, .ci = 1, .co = 64, .h = 96, .w = 96, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3, .pw = 3},
      {.n = 1, .ci = 3, .co = 64, .h = 97, .w = 61, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3, .pw = 3},
      {.n = 2, .ci = 7, .co = 24, .h = 97, .w = 61, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 255, .ci = 512, .co = 10},
      {.n = 2, .ci = 96, .co = 96, .h = 14, .w = 14, .kh = 3, .kw = 3, .ph = 1, .pw = 1, .groups = 96},
      {.n = 2, .ci = 128, .co = 128, .h = 14, .w = 14, .kh = 3, .kw = 3, .ph = 1, .pw = 1, .groups = 32},
  };
  for (const ConvGeometry& g : shapes) compare(g, GetParam(), "direct", 7, true, true);
}

// Several strips, stripes and blocks of panels; groups that are part of a vector and several vectors; rows of
// which a stride leaves some out; a kernel that is all padding but for one pixel.
TEST_P(ConvPerMachine, GroupedEqualsTheReferenceOnIntegersForShapesOfNetworks) {
  const auto three = [](std::int64_t n, std::int64_t c, std::int64_t groups, std::int64_t side,
                        std::int64_t stride) {
    return ConvGeometry{.n = n,
                        .ci = c,
                        .co = c,
                        .h = side,
                        .w = side,
                        .kh = 3,
                        .kw = 3,
                        .sh = stride,
                        .sw = stride,
                        .ph = 1,
                        .pw = 1,
                        .groups = groups};
  };
  const ConvGeometry shapes[] = {
      three(1, 64, 16, 56, 1),
      three(1, 128, 16, 28, 1),
      three(1, 64, 8, 56, 2),
      three(2, 128, 8, 14, 1),
      three(3, 128, 4, 7, 1),
      three(2, 40, 40, 57, 2),
      three(1, 120, 24, 23, 1),
      three(40, 24, 4, 1, 1),
      {.n = 2,
       .ci = 18,
       .co = 66,
       .h = 30,
       .w = 17,
       .kh = 7,
       .kw = 5,
       .ph = 9,
       .pw = 8,
       .dh = 3,
       .dw = 4,
       .groups = 6},
      {.n = 1, .ci = 66, .co = 18, .h = 17, .w = 31, .kh = 1, .kw = 1, .sh = 2, .sw = 3, .groups = 6},
  };
  for (const ConvGeometry& g : shapes) compare(g, GetParam(), "grouped", 7, true, true);
}

// A factor that is not finite does not meet the zeros of the padding.
TEST_P(ConvPerMachine, GroupedIsTheDirectOneWhereWeightsAreNotFinite) {
  if (GetParam().storage == DType::bf16) return;  // it is for f32
  for (std::uint64_t seed = 0; seed < 60 && !HasFailure(); ++seed)
    testing::expect_kinds_of_direct(testing::random_grouped_geometry(seed), GetParam(), "grouped", seed);
}

// Several blocks, squares, panels and chunks.
TEST_P(ConvPerMachine, ParityEqualsTheReferenceOnIntegersForShapesOfNetworks) {
  const ConvGeometry shapes[] = {
      {.n = 40, .ci = 64, .co = 128, .h = 24, .w = 24, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 2, .ci = 256, .co = 512, .h = 6, .w = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 1, .ci = 300, .co = 70, .h = 97, .w = 61, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1}};
  for (const ConvGeometry& g : shapes) compare(g, GetParam(), "parity", 7, true, true);
}

// Several blocks of tiles, panels of more than one chunk, squares and parts of squares.
TEST_P(ConvPerMachine, WinogradStaysWithinTheErrorOfItsSumsForShapesOfNetworks) {
  const ConvGeometry shapes[] = {
      {.n = 20, .ci = 64, .co = 64, .h = 24, .w = 24, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 3, .ci = 256, .co = 80, .h = 7, .w = 7, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 2, .ci = 300, .co = 130, .h = 3, .w = 3, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 1, .ci = 7, .co = 24, .h = 97, .w = 61, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 2, .ci = 480, .co = 500, .h = 3, .w = 3, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.n = 150, .ci = 257, .co = 10, .h = 6, .w = 6, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
  };
  for (const ConvGeometry& g : shapes) {
    for (const char* by : {"F(3x3)", "F(4x4)", "F(6x6)"}) compare(g, GetParam(), by, 7, false, true);
  }
}

TEST(ConvChoice, FollowsFromTheShape) {
  const auto chosen = [](std::int64_t c, std::int64_t side, Pass pass = Pass::forward,
                         DType storage = DType::f32) {
    const ConvGeometry g{
        .n = 256, .ci = c, .co = c, .h = side, .w = side, .kh = 3, .kw = 3, .ph = 1, .pw = 1};
    return choose_conv(g, pass, {storage, storage}).algorithm->name();
  };
  EXPECT_EQ(chosen(64, 24), "F(4x4)");
  EXPECT_EQ(chosen(128, 12), "F(4x4)");
  EXPECT_EQ(chosen(256, 6), "F(3x3)");
  EXPECT_EQ(chosen(512, 3), "F(3x3)");
  EXPECT_EQ(chosen(3, 24), "direct") << "transforms cost more than they save";
  for (const Pass pass : {Pass::input_gradient, Pass::weight_gradient}) {
    EXPECT_EQ(chosen(64, 24, pass), "F(6x6)");
    EXPECT_EQ(chosen(256, 6, pass), "F(6x6)");
    EXPECT_EQ(chosen(512, 3, pass), "F(3x3)");
    EXPECT_EQ(chosen(64, 24, pass, DType::bf16), "F(4x4)");
  }
  const ConvGeometry strided{
      .n = 256, .ci = 256, .co = 512, .h = 6, .w = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1};
  EXPECT_EQ(choose_conv(strided, Pass::forward).algorithm->name(), "parity");
  for (const std::int64_t channels : {1, 2, 3, 4, 8, 16, 64, 128}) {  // of a group
    ConvGeometry grouped{.n = 32, .h = 14, .w = 14, .kh = 3, .kw = 3, .ph = 1, .pw = 1};
    grouped.ci = grouped.co = 8 * channels;
    grouped.groups = 8;
    const auto* const name = channels < 64 ? "grouped" : "direct";
    for (const Pass pass : kPasses)
      EXPECT_EQ(choose_conv(grouped, pass).algorithm->name(), name) << channels << " channels";
  }
  EXPECT_THROW(testing::algorithm("F(4x4)").make(strided, Pass::forward, Isa::avx2), ShapeError);
}

// Whatever the list of algorithms has, on shapes of every kind that it serves: nobody adds one that is not
// compared.
TEST_P(ConvPerMachine, EveryAlgorithmOfTheListIsComparedWithTheReference) {
  for (const ConvAlgorithm* algorithm : conv_algorithms()) {
    const bool integers = !algorithm->name().starts_with("F(");  // the others are exact there
    int served = 0;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      for (const ConvGeometry& g :
           {testing::random_geometry(seed), testing::random_winograd_geometry(seed),
            testing::random_parity_geometry(seed), testing::random_grouped_geometry(seed)}) {
        if (!algorithm->serves(g, Pass::weight_gradient, {GetParam().storage, GetParam().storage})) continue;
        testing::compare(g, GetParam(), algorithm->name(), seed, integers, seed % 2 == 0);
        ++served;
      }
    }
    if (GetParam().storage == DType::f32) EXPECT_GT(served, 0) << algorithm->name();
  }
}

// One name each, and the direct one first: it serves whatever is a convolution.
TEST(ConvChoice, AlgorithmsAreAListOfNames) {
  std::vector<std::string_view> names;
  for (const ConvAlgorithm* algorithm : conv_algorithms()) names.push_back(algorithm->name());
  EXPECT_EQ(names,
            (std::vector<std::string_view>{"direct", "F(3x3)", "F(4x4)", "F(6x6)", "parity", "grouped"}));
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const ConvGeometry g = testing::random_geometry(seed);
    for (const Pass pass : kPasses) {
      EXPECT_TRUE(conv_algorithms().front()->serves(g, pass, {})) << testing::text_of(g);
      const ConvChoice choice = choose_conv(g, pass);
      EXPECT_TRUE(choice.algorithm->serves(g, pass, {})) << choice.reason;
      EXPECT_TRUE(choice.reason.starts_with(choice.algorithm->name())) << choice.reason;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllMachines, ConvPerMachine, ::testing::ValuesIn(testing::conv_machines()),
                         [](const ::testing::TestParamInfo<ConvMachine>& machine) {
                           return std::string(name_of(machine.param.isa));
                         });

// Long sums are sums of short ones: far better than the bound. 147,456 products in one chain would
// be off by about 1e-3 here.
TEST(ConvAccuracy, WeightGradientOverABatchOf64StaysNearDouble) {
  const ConvGeometry g{.n = 64, .ci = 2, .co = 8, .h = 48, .w = 48, .kh = 3, .kw = 3, .ph = 1, .pw = 1};
  for (const ConvMachine& machine : testing::conv_machines()) {
    if (machine.storage != DType::f32) continue;
    EXPECT_LE(testing::error_of_positive_sums(g, Pass::weight_gradient, machine, 3), 2e-6);
  }
}

TEST(ConvErrors, RefuseWhatIsNoConvolution) {
  const ConvGeometry good{.n = 1, .ci = 4, .co = 4, .h = 5, .w = 5, .kh = 3, .kw = 3};
  const auto with = [&good](auto change) {
    ConvGeometry g = good;
    change(g);
    return g;
  };
  const ConvGeometry bad[] = {
      with([](ConvGeometry& g) { g.n = 0; }),   with([](ConvGeometry& g) { g.sw = 0; }),
      with([](ConvGeometry& g) { g.ph = -1; }), with([](ConvGeometry& g) { g.groups = 3; }),
      with([](ConvGeometry& g) { g.kh = 6; }),  with([](ConvGeometry& g) { g.n = std::int64_t{1} << 60; }),
      with([](ConvGeometry& g) { g.dw = 3; }),
  };
  for (const ConvGeometry& g : bad) {
    for (const Pass pass : kPasses) {
      EXPECT_THROW(choose_conv(g, pass), ShapeError) << testing::text_of(g);
      EXPECT_THROW(testing::algorithm("direct").make(g, pass, Isa::avx2), ShapeError) << testing::text_of(g);
    }
  }
}

}  // namespace
}  // namespace resnet::kernels
