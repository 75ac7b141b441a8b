// The native convolutions against the readable ones in double, for every instruction set of this
// machine, on shapes that nobody would think of. conv_slow_test.cpp has ten times as many.
#include "kernels/conv/conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

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
  for (const ConvGeometry& g : shapes) compare(g, GetParam(), 0, 7, true, true);
}

// Several blocks, squares, panels and chunks.
TEST_P(ConvPerMachine, ParityEqualsTheReferenceOnIntegersForShapesOfNetworks) {
  const ConvGeometry shapes[] = {
      {.n = 40, .ci = 64, .co = 128, .h = 24, .w = 24, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 2, .ci = 256, .co = 512, .h = 6, .w = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.n = 1, .ci = 300, .co = 70, .h = 97, .w = 61, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1}};
  for (const ConvGeometry& g : shapes) compare(g, GetParam(), 3, 7, true, true);
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
    for (const std::int64_t tile : {3, 4, 6}) compare(g, GetParam(), tile, 7, false, true);
  }
}

TEST(ConvChoice, FollowsFromTheShape) {
  const auto tile = [](std::int64_t c, std::int64_t side, Pass pass = Pass::forward,
                       DType storage = DType::f32) {
    const ConvGeometry g{
        .n = 256, .ci = c, .co = c, .h = side, .w = side, .kh = 3, .kw = 3, .ph = 1, .pw = 1};
    return choose_conv(g, pass, {storage, storage}).tile;
  };
  EXPECT_EQ(tile(64, 24), 4);
  EXPECT_EQ(tile(128, 12), 4);
  EXPECT_EQ(tile(256, 6), 3);
  EXPECT_EQ(tile(512, 3), 3);
  EXPECT_EQ(tile(3, 24), 0) << "transforms cost more than they save";
  for (const Pass pass : {Pass::input_gradient, Pass::weight_gradient}) {
    EXPECT_EQ(tile(64, 24, pass), 6);
    EXPECT_EQ(tile(256, 6, pass), 6);
    EXPECT_EQ(tile(512, 3, pass), 3);
    EXPECT_EQ(tile(64, 24, pass, DType::bf16), 4);
  }
  const ConvGeometry strided{
      .n = 256, .ci = 256, .co = 512, .h = 6, .w = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1};
  EXPECT_EQ(choose_conv(strided, Pass::forward).tile, 3);
  EXPECT_THROW(make_conv(strided, Pass::forward, Isa::avx2, 4), ShapeError);
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
      EXPECT_THROW(make_conv(g, pass, Isa::avx2, 0), ShapeError) << testing::text_of(g);
    }
  }
}

}  // namespace
}  // namespace resnet::kernels
