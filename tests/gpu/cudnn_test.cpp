// cuDNN as a way to compute a convolution: which engine, by which numbers, through which pointers, and what
// happens where an engine is not there. A fake one computes; the real one, where there is any, makes the
// plans of the whole table for described cards.
#include "cuda/cudnn.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <tuple>

#if __has_include(<cudnn.h>) && __has_include(<cuda_runtime_api.h>)
#include <cudnn.h>
#endif

#include "emulator/emulator.h"
#include "engine/gpu.h"
#include "gpu/cudnn.h"
#include "gpu/device.h"
#include "gpu/operation_case.h"
#include "gpu/with_cudnn.h"
#include "ops/conv2d.h"
#include "support/oracle.h"
#include "support/paths.h"
#include "support/variable.h"

namespace resnet {
namespace {

using cuda::Cudnn;
using cuda::CudnnError;
using gpu::CudnnLine;
using gpu::Products;
using kernels::ConvGeometry;
using kernels::ConvPass;
using test::Examples;
using test::Variable;

constexpr auto kPasses = {ConvPass::forward, ConvPass::input_gradient, ConvPass::weight_gradient};

TEST(CudnnNumbers, AreThoseOfTheHeaders) {
#if defined(CUDNN_MAJOR)
#define RESNET_CUDNN(name, theirs, number) EXPECT_EQ(static_cast<int>(theirs), number) << #theirs;
#include "cuda/cudnn_numbers.def"
#undef RESNET_CUDNN
#else
  GTEST_SKIP() << "there are no headers of cuDNN here to compare the numbers with";
#endif
}

// A convolution of the table.
ConvGeometry stage_one() {
  return {.n = 2, .ci = 64, .co = 64, .h = 24, .w = 24, .kh = 3, .kw = 3, .ph = 1, .pw = 1};
}

TEST(CudnnTable, NamesEachPassOnce) {
  std::set<std::tuple<int, bool, ConvPass, int, int, int, int, int, int, int, int>> seen;
  for (const CudnnLine& l : gpu::cudnn_table()) {
    EXPECT_TRUE(seen.insert({l.architecture, l.bf16, l.pass, l.ci, l.co, l.kernel, l.stride, l.padding,
                             l.groups, l.h, l.w})
                    .second)
        << l.architecture << ' ' << l.ci << "->" << l.co << ' ' << l.h << 'x' << l.w;
  }
  for (const int architecture : {80, 89, 90, 100, 120})
    for (const bool bf16 : {true, false})
      for (const ConvPass pass : kPasses)
        EXPECT_NE(gpu::find_cudnn_line(architecture, pass, bf16, stage_one()), nullptr) << architecture;
}

TEST(CudnnTable, ServesTheCardsOfAnArchitectureAndMapsOfAnySize) {
  const auto found = [](int architecture, const ConvGeometry& g) {
    return gpu::find_cudnn_line(architecture, ConvPass::forward, true, g);
  };
  const ConvGeometry g = stage_one();
  EXPECT_EQ(found(86, g), found(80, g));
  EXPECT_EQ(found(103, g), found(100, g));
  EXPECT_EQ(found(75, g), nullptr);
  EXPECT_EQ(found(110, g), nullptr);
  EXPECT_EQ(found(90, g)->h, 24);
  ConvGeometry other = g;
  other.h = 25;
  other.w = 26;
  EXPECT_EQ(found(90, other)->h, 24);
  other.h = other.w = 60;
  EXPECT_EQ(found(90, other)->h, 56);
  for (const auto& change : {+[](ConvGeometry& o) { o.kw = 5; }, +[](ConvGeometry& o) { o.dh = 2; },
                             +[](ConvGeometry& o) { o.groups = 2; }, +[](ConvGeometry& o) { o.ci = 65; }}) {
    other = g;
    change(other);
    EXPECT_EQ(found(90, other), nullptr);
  }
}

// A workspace that grows with the images grows with their pixels too.
TEST(CudnnTable, BoundsTheWorkspaceOfAnyNumberOfImages) {
  CudnnLine line = *gpu::find_cudnn_line(90, ConvPass::forward, true, stage_one());
  line.workspace_bytes = 1000;
  line.image_workspace_bytes = 10;
  ConvGeometry g = stage_one();
  constexpr std::int64_t kSlack = 1 << 20;
  EXPECT_EQ(gpu::choice_of(line, g, false).workspace_bytes, 1020 + kSlack);
  g.h = 48;
  EXPECT_EQ(gpu::choice_of(line, g, false).workspace_bytes, 1040 + kSlack);
}

// The table was made for described cards: a real one may pad a little more.
TEST(CudnnTable, LeavesRoomForAPlanThatIsALittleLarger) {
  gpu::Device device(test::device_with_cudnn());
  for (const ConvPass pass : kPasses) {
    const CudnnLine& line = *gpu::find_cudnn_line(90, pass, true, stage_one());
    const gpu::CudnnChoice choice = gpu::choice_of(line, stage_one(), false);
    const std::int64_t bound =
        line.workspace_bytes + stage_one().n * std::int64_t{line.image_workspace_bytes};
    const Variable bytes("RESNET_FAKE_CUDNN_WORKSPACE", std::to_string(bound + 200));
    EXPECT_EQ(device.prepare(choice.what, choice.workspace_bytes), "");
  }
}

// The real one, of the paths where a program looks for it.
const Cudnn* real_cudnn() {
  static const Cudnn* const kCudnn = []() -> const Cudnn* {
    try {
      return new Cudnn;
    } catch (const CudnnError&) {
      return nullptr;
    }
  }();
  return kCudnn;
}

std::string described_card(int architecture) {
  std::stringstream text;
  text << std::ifstream(test::source_folder() / "tests/gpu/cards" /
                        ("sm_" + std::to_string(architecture) + ".json"))
              .rdbuf();
  return text.str();
}

class CudnnTableOf : public ::testing::TestWithParam<int> {};

TEST_P(CudnnTableOf, IsFinalizedOnADescribedCard) {
  if (real_cudnn() == nullptr)
    GTEST_SKIP() << "there is no cuDNN here: nobody has made the plans of the table";
  if (real_cudnn()->version() < 90800) GTEST_SKIP() << "this cuDNN is too old for described cards";
  const std::string card = described_card(GetParam());
  int lines = 0;
  for (const CudnnLine& line : gpu::cudnn_table()) {
    if (line.architecture != GetParam()) continue;
    ++lines;
    const ConvGeometry g{.n = 128,
                         .ci = line.ci,
                         .co = line.co,
                         .h = line.h,
                         .w = line.w,
                         .kh = line.kernel,
                         .kw = line.kernel,
                         .sh = line.stride,
                         .sw = line.stride,
                         .ph = line.padding,
                         .pw = line.padding,
                         .groups = line.groups};
    const gpu::CudnnChoice choice = gpu::choice_of(line, g, line.pass == ConvPass::input_gradient);
    try {
      const auto plan = real_cudnn()->plan(choice.what, {.described = card});
      EXPECT_LE(plan->workspace_bytes, choice.workspace_bytes);
    } catch (const CudnnError& error) {
      ADD_FAILURE() << "pass " << choice.what.pass << ", " << line.ci << "->" << line.co << ", " << line.h
                    << 'x' << line.w << (line.bf16 ? " bf16: " : " tf32: ") << error.what();
    }
  }
  EXPECT_GT(lines, 100);
}

// Of channels that the table has, and of maps that it has not.
std::vector<test::ConvCase> small_cases() {
  return {{{2, 64, 5, 6}, 64, {3, 3}, {.padding = {1, 1}}},
          {{1, 64, 7, 6}, 128, {3, 3}, {.stride = {2, 2}, .padding = {1, 1}}},
          {{2, 64, 5, 7}, 128, {1, 1}, {.stride = {2, 2}}}};
}

TEST(CudnnTable, HasEnginesForTheMapsThatACardIsTestedWith) {
  if (real_cudnn() == nullptr || real_cudnn()->version() < 90800)
    GTEST_SKIP() << "there is no cuDNN here that knows described cards";
  const std::string card = described_card(90);
  for (const test::ConvCase& c : small_cases()) {
    const ConvGeometry g = c.geometry();
    for (const ConvPass pass : kPasses) {
      for (const bool bf16 : {true, false}) {
        const CudnnLine* const line = gpu::find_cudnn_line(90, pass, bf16, g);
        ASSERT_NE(line, nullptr);
        const gpu::CudnnChoice choice = gpu::choice_of(*line, g, pass == ConvPass::input_gradient);
        EXPECT_NO_THROW(real_cudnn()->plan(choice.what, {.described = card}))
            << "pass " << choice.what.pass << ", to " << c.co << " channels, " << (bf16 ? "bf16" : "tf32");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, CudnnTableOf, ::testing::Values(80, 89, 90, 100, 120),
                         [](const auto& tested) { return "sm_" + std::to_string(tested.param); });

std::string refusal_of(const std::function<void()>& function) {
  try {
    function();
    return "";
  } catch (const CudnnError& error) {
    return error.what();
  }
}

TEST(Cudnn, IsMissed) {
  const std::string why = refusal_of([] {
    const Cudnn none({"/nowhere/libcudnn.so.9", "libcudnn_of_nowhere.so"});
  });
  EXPECT_EQ(why.find("no cuDNN (/nowhere/libcudnn.so.9: "), 0U) << why;
  EXPECT_EQ(refusal_of([] { const Cudnn other({"libm.so.6"}); }),
            "this cuDNN has no function cudnnGetVersion");
}

TEST(Cudnn, IsLookedForWhereTheVariableSaysAlone) {
  setenv("RESNET_CUDNN_DIR", "/some/where", 1);
  EXPECT_EQ(Cudnn::default_paths(), std::vector<std::string>{"/some/where/libcudnn.so.9"});
  unsetenv("RESNET_CUDNN_DIR");
  EXPECT_EQ(Cudnn::default_paths().front(), "libcudnn.so.9");
}

TEST(Cudnn, RefusesEnginesThatDoNotSuitAndLeavesNothingBehind) {
  const int before = test::live_in_cudnn();
  {
    const Cudnn cudnn({RESNET_FAKE_CUDNN});
    EXPECT_EQ(cudnn.version(), 90900);
    void* const handle = cudnn.make_handle(nullptr);
    const CudnnLine line = *gpu::find_cudnn_line(90, ConvPass::forward, true, stage_one());
    resnet_convolution what = gpu::choice_of(line, stage_one(), false).what;
    EXPECT_NE(cudnn.plan(what, {.handle = handle}), nullptr);
    const auto refusal = [&](int engine) {
      what.engine = engine;
      return refusal_of([&] { cudnn.plan(what, {.handle = handle}); });
    };
    EXPECT_EQ(refusal(25), "engine 25: it gives other bits from run to run");
    EXPECT_EQ(refusal(26), "engine 26: it is compiled at run time");
    EXPECT_EQ(refusal(27), "engine 27: it uses no tensor cores");
    EXPECT_EQ(refusal(100), "engine 100: CUDNN_STATUS_NOT_SUPPORTED this engine does not support it");
    cudnn.end_handle(handle);
  }
  EXPECT_EQ(test::live_in_cudnn(), before);
}

TEST(Cudnn, DescribesItsCard) {
  const int before = test::live_in_cudnn();
  {
    const Cudnn cudnn({RESNET_FAKE_CUDNN});
    void* const handle = cudnn.make_handle(nullptr);
    EXPECT_EQ(cudnn.description(handle), R"({"deviceVer": 900})");
    EXPECT_NE(refusal_of([&] { static_cast<void>(cudnn.description(nullptr)); }), "");
    cudnn.end_handle(handle);
  }
  EXPECT_EQ(test::live_in_cudnn(), before);
}

TEST(Cudnn, OfACardIsTestedThereAndTheFakeOneInTheEmulator) {
  const auto fake = test::cudnn_in_place_of(emulator::api());
  ASSERT_TRUE(fake.has_value());
  EXPECT_EQ(fake->api, &test::device_with_cudnn());
  EXPECT_FALSE(fake->real);
  const resnet_device_api without = emulator::api();  // of another device than the emulated one
  EXPECT_FALSE(test::cudnn_in_place_of(without).has_value());
  const auto real = test::cudnn_in_place_of(test::device_with_cudnn());
  ASSERT_TRUE(real.has_value());
  EXPECT_EQ(real->api, &test::device_with_cudnn());
  EXPECT_EQ(real->architecture, 90);
  EXPECT_TRUE(real->real);
}

TEST(Cudnn, ConvolutionsMatchTheirReference) {
  if (test::tested_cudnn() == nullptr) GTEST_SKIP() << "this card has no cuDNN";
  using ops::make;
  const auto f32 = [](const Shape& shape) { return ops::ValueType{shape, DType::f32}; };
  for (const test::ConvCase& c : small_cases()) {
    const Shape w = c.w();
    const ConvGeometry g = c.geometry();
    const ops::ValueType x = f32(c.x), weights = f32(w), y = f32({g.n, g.co, g.ho(), g.wo()});
    const auto conv = make<ops::Conv2d>(ops::ConvOptions{.window = c.window});
    const auto apart =
        make<ops::Conv2dInputGradient>(ops::ConvInputGradientOptions{.window = c.window, .x = c.x});
    const std::vector<test::OperationCase> cases = {
        {.op = conv, .inputs = {x, weights, f32({c.co})}},
        {.op = conv, .inputs = {x, weights, std::nullopt}},
        {.op = apart, .inputs = {y, weights}},
        {.op = make<ops::Conv2dInputGradient>(
             ops::ConvInputGradientOptions{.window = c.window, .x = c.x, .add = true}),
         .inputs = {y, weights, x},
         .unfused = apart,
         .addend = ops::ConvInputGradientInput::addend},
        {.op = make<ops::Conv2dWeightGradient>(ops::ConvWeightGradientOptions{.window = c.window, .w = w}),
         .inputs = {x, y}}};
    for (test::OperationCase one : cases) {
      one.cudnn = true;
      one.storage = DType::bf16;
      test::expect_matches_reference(one);
      one.storage = DType::f32;
      one.products = Products::tf32;
      test::expect_matches_reference(one);
      if (HasFailure()) return;
    }
  }
}

// Two stages whose channels the table has.
const Shape kImages{2, 1, 19, 22};
Network network() {
  const models::ResNetOptions options{
      .in_channels = 1, .classes = 5, .blocks = {1, 1}, .channels = {64, 128}, .stem_channels = 64};
  return network_of(test::random_network("d2l_resnet18", options), kImages);
}
std::unique_ptr<PlannedEngine> engine_with_cudnn(Precision precision) {
  return engine::make_gpu_engine(network(), {.precision = precision}, test::device_with_cudnn(), 0);
}

TEST(EngineWithCudnn, ComputesTheGradientsOfTheReference) {
  const Examples e = test::examples(kImages, 5);
  test::Oracle(network(), e, 0x1p-10)
      .expect_near(test::computed_by(*engine_with_cudnn(Precision::tf32), e), false);
  test::Oracle(network(), e, 0x1p-8)
      .expect_near(test::computed_by(*engine_with_cudnn(Precision::bf16), e), false);
}

TEST(EngineWithCudnn, HasThePlansThatAreMadeWithoutACard) {
  const auto engine = engine_with_cudnn(Precision::bf16);
  const std::string text = engine->plan_text(kImages, Mode::train);
  EXPECT_EQ(text,
            engine::gpu_plan_text(network(), {.precision = Precision::bf16}, kImages, Mode::train, {90}));
  for (const char* name :
       {"cudnn_forward_bf16+bias", "cudnn_input_gradient_bf16+add", "cudnn_weight_gradient_bf16"})
    EXPECT_NE(text.find(name), std::string::npos) << name << '\n' << text;
  EXPECT_EQ(engine->device().libraries, "cuDNN 9.9.0");
}

TEST(EngineWithCudnn, IsExactInF32) {
  const auto engine = engine_with_cudnn(Precision::f32);
  EXPECT_EQ(engine->plan_text(kImages, Mode::train).find("cudnn_"), std::string::npos);
  EXPECT_EQ(engine->device().libraries, "");
}

TEST(EngineWithCudnn, GivesTheSameBitsInTwoRunsAndLeavesNothingBehind) {
  State states[2];
  int live[2];
  for (const std::size_t run : {0U, 1U}) {
    {
      const auto engine = engine_with_cudnn(Precision::bf16);
      for (std::uint64_t i = 0; i < 2; ++i) {
        const Examples e = test::examples(kImages, 5, i);
        engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});
      }
      states[run] = engine->state(StateScope::all);
    }
    live[run] = test::live_in_cudnn();
  }
  EXPECT_EQ(live[0], live[1]);
  for (std::size_t i = 0; i < states[0].size(); ++i)
    EXPECT_EQ(std::memcmp(states[0][i].second.raw(), states[1][i].second.raw(), states[0][i].second.bytes()),
              0)
        << states[0][i].first;
}

TEST(EngineWithCudnn, ComputesByItselfWhatCudnnRefusesAndSaysSoOnce) {
  const CudnnLine& line = *gpu::find_cudnn_line(90, ConvPass::forward, true, stage_one());
  setenv("RESNET_FAKE_CUDNN_REFUSES", std::to_string(line.engine).c_str(), 1);
  const auto engine = engine_with_cudnn(Precision::bf16);
  const std::string text = engine->plan_text(kImages, Mode::train);
  const Examples e = test::examples(kImages, 5);
  test::Oracle(network(), e, 0x1p-8).expect_near(test::computed_by(*engine, e), false);
  unsetenv("RESNET_FAKE_CUDNN_REFUSES");
  EXPECT_NE(text.find("gemm_forward_bf16_wide"), std::string::npos);
  EXPECT_NE(text.find("not cuDNN's engine " + std::to_string(line.engine) + ": engine " +
                      std::to_string(line.engine) + ": CUDNN_STATUS_NOT_SUPPORTED"),
            std::string::npos)
      << text;
  const std::size_t at = text.find("cuDNN 9.9.0 does not compute ");
  ASSERT_NE(at, std::string::npos) << text;
  const std::string note = text.substr(at);  // the last line
  EXPECT_LE(note.size(), 300U);
  EXPECT_EQ(note.find('\n'), note.size() - 1);
}

}  // namespace
}  // namespace resnet
