// The engine of GPUs on the emulated device: small networks of every kind in the zoo, at ragged sizes,
// against the reference engine; and what every engine promises.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <limits>
#include <string>

#include "emulator/emulator.h"
#include "engine/gpu.h"
#include "gpu/executor.h"
#include "gpu/tested_device.h"
#include "io/model_hash.h"
#include "support/family.h"
#include "support/in_child.h"
#include "support/oracle.h"

namespace resnet {
namespace {

using test::Examples;

std::unique_ptr<PlannedEngine> emulated(const Network& network, const EngineOptions& options = {}) {
  return engine::make_gpu_engine(network, options, test::tested_device(), 0);
}

StepResult step(Engine& engine, const Examples& e, float lr = 0.05F) {
  return engine.step(e.images.view<float>(), e.labels.view<std::int32_t>(), {lr});
}

void expect_same_bits(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(std::memcmp(a[i].second.raw(), b[i].second.raw(), a[i].second.bytes()), 0) << a[i].first;
}

struct SmallCase {
  std::string model;
  Shape images;
  models::ResNetOptions options = {};
  std::vector<std::int64_t> channels = {8, 12}, blocks = {1, 1};
};
void PrintTo(const SmallCase& c, std::ostream* out) {
  *out << c.model << ' ' << c.images;
}

// A name's network, of few blocks and channels.
Network network_of(const SmallCase& c) {
  models::ResNetOptions options = c.options;
  options.in_channels = c.images[1];
  options.classes = 5;
  options.blocks = c.blocks;
  options.channels = c.channels;
  options.stem_channels = c.channels[0];
  return network_of(test::random_network(c.model, options), c.images);
}

const Shape kImages{3, 2, 23, 26};

class EmulatedGpu : public ::testing::TestWithParam<SmallCase> {};

// The sizes of rounding: sums of K products in f32 are off by a few 2^-24; tf32 has 11 bits, bf16 8.
void expect_gradients_of_reference(const Network& network, const Shape& images, std::int64_t classes) {
  const Examples e = test::examples(images, classes);
  {
    SCOPED_TRACE("f32");
    test::Oracle(network, e, 0x1p-22).expect_near(test::computed_by(*emulated(network), e), true);
  }
  {
    SCOPED_TRACE("tf32");
    const auto tf32 = emulated(network, {.precision = Precision::tf32});
    // A card's cuDNN may cut off where we round.
    const bool cuts = tf32->plan_text(images, Mode::train).find("cudnn_") != std::string::npos;
    test::Oracle(network, e, cuts ? 0x1p-9 : 0x1p-10).expect_near(test::computed_by(*tf32, e), false);
  }
  SCOPED_TRACE("bf16");
  test::Oracle(network, e, 0x1p-8)
      .expect_near(test::computed_by(*emulated(network, {.precision = Precision::bf16}), e), false);
}

TEST_P(EmulatedGpu, ComputesTheGradientsOfTheReference) {
  expect_gradients_of_reference(network_of(GetParam()), GetParam().images, 5);
}

class EmulatedGpuFamily : public ::testing::TestWithParam<test::FamilyCase> {};

TEST_P(EmulatedGpuFamily, ComputesTheGradientsOfTheReference) {
  const Shape images{2, GetParam().in_channels(), 19, 17};
  expect_gradients_of_reference(
      network_of(test::random_network(GetParam().model, GetParam().options), images), images, 10);
}

INSTANTIATE_TEST_SUITE_P(Networks, EmulatedGpuFamily, ::testing::ValuesIn(test::family_cases()),
                         [](const auto& tested) { return tested.param.label; });

INSTANTIATE_TEST_SUITE_P(
    Zoo, EmulatedGpu,
    ::testing::Values(SmallCase{"d2l_resnet18", {3, 1, 31, 26}}, SmallCase{"resnet18", kImages},
                      SmallCase{"resnet50", kImages}, SmallCase{"resnet18d", kImages},
                      SmallCase{"seresnet18", kImages}, SmallCase{"resnetv2_18", kImages},
                      SmallCase{"resnet50", {2, 3, 9, 11}, {.stem = models::Stem::small, .groups = 2}},
                      SmallCase{"resnet18", {4, 2, 23, 26}, {.drop_path = 0.4}},
                      SmallCase{"d2l_resnet18", {3, 1, 13, 14}, {}, {64, 128}, {2, 1}},
                      SmallCase{"resnet50", {2, 1, 5, 6}, {.stem = models::Stem::small}, {64, 64}},
                      SmallCase{"resnet18", {2, 3, 37, 26}, {}, {64}, {1}}),
    [](const auto& tested) { return tested.param.model + "_" + std::to_string(tested.index); });

const SmallCase kCase{"d2l_resnet18", {3, 1, 19, 22}};

TEST(EmulatedGpuEngine, GivesTheSameBitsInTwoRunsAndInBothOrdersOfThreads) {
  const Network network = network_of(kCase);
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    State states[2];
    for (const auto order : {emulator::Order::forward, emulator::Order::reverse}) {
      emulator::set_order(order);
      const auto engine = emulated(network, {.precision = precision});
      for (std::uint64_t i = 0; i < 3; ++i) step(*engine, test::examples(kCase.images, 5, i));
      states[order == emulator::Order::forward ? 0 : 1] = engine->state(StateScope::all);
    }
    emulator::set_order(emulator::Order::forward);
    expect_same_bits(states[0], states[1]);
  }
}

TEST(EmulatedGpuEngine, TrainsAsTheReferenceDoes) {
  const Network network = network_of(kCase);
  for (const OptimizerOptions& optimizer : {OptimizerOptions{.method = SgdOptions{.momentum = 0.9}},
                                            OptimizerOptions{.method = AdamWOptions{}}}) {
    const EngineOptions options{.optimizer = optimizer};
    const auto ours = emulated(network, options);
    const auto reference = make_reference_engine(network, options);
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Examples e = test::examples(kCase.images, 5, i);
      const StepResult a = step(*ours, e, 0.01F), b = step(*reference, e, 0.01F);
      EXPECT_NEAR(a.loss_sum, b.loss_sum, 1e-3 * b.loss_sum);
      EXPECT_EQ(a.correct, b.correct);
    }
    test::expect_states_near(ours->state(), reference->state(), 1e-3);
    EXPECT_TRUE(ours->finite());
  }
}

TEST(EmulatedGpuEngine, FusionChangesNoGradientBeyondRounding) {
  const Network network = network_of(kCase);
  const Examples e = test::examples(kCase.images, 5);
  const auto fused = emulated(network), plain = emulated(network, {.fuse = false});
  for (const auto& engine : {fused.get(), plain.get()})
    engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  test::expect_states_near(fused->gradient_values(), plain->gradient_values(), 1e-4);
  EXPECT_NE(fused->plan_text(kCase.images, Mode::train), plain->plan_text(kCase.images, Mode::train));
}

TEST(EmulatedGpuEngine, HasThePlansThatAreMadeWithoutADevice) {
  const Network network = network_of(kCase);
  const EngineOptions options{.precision = Precision::bf16};
  for (const Mode mode : {Mode::train, Mode::eval}) {
    const std::string text = engine::gpu_plan_text(network, options, kCase.images, mode);
    EXPECT_EQ(text, emulated(network, options)->plan_text(kCase.images, mode));
    EXPECT_NE(text.find("gemm_forward_bf16"), std::string::npos);
  }
}

// In bf16 convolutions of 3x3 and 64 channels do all that they can of the norms beside them.
TEST(EmulatedGpuEngine, CarriesNormsIn3x3Convolutions) {
  const SmallCase wide{"d2l_resnet18", {3, 1, 13, 14}, {}, {64, 128}, {2, 1}};
  const std::string text =
      engine::gpu_plan_text(network_of(wide), {.precision = Precision::bf16}, wide.images, Mode::train);
  for (const char* kernel :
       {"conv3x3_forward_bf16+moments", "conv3x3_forward_bf16+norm_relu+moments",
        "conv3x3_input_gradient_bf16+add+relu_mask+sums", "conv3x3_input_gradient_bf16+relu+sums",
        "conv3x3_weight_gradient_bf16+norm_relu+norm_gradient", "stem_forward_bf16",
        "stem_weight_gradient_bf16", "norm_table", "norm_gradient_table"})
    EXPECT_NE(text.find(kernel), std::string::npos) << kernel << " is not in\n" << text;
}

// Kernels read copies of weights: rounded, each once a run that updates them, else when they have changed.
TEST(EmulatedGpuEngine, ComputesWithTheWeightsOfNow) {
  const SmallCase wide{"d2l_resnet18", {2, 1, 13, 14}, {}, {64}, {1}};
  const Network network = network_of(wide);
  const Examples e = test::examples(wide.images, 5);
  const EngineOptions options{.precision = Precision::bf16};
  const auto trained = emulated(network, options), loaded = emulated(network, options);
  const auto logits = [&](Engine& engine) { return engine.infer(e.images.view<float>()); };
  const Tensor before = logits(*trained);
  EXPECT_EQ(test::distance(logits(*loaded), before), 0);
  for (int i = 0; i < 2; ++i) step(*trained, e);
  loaded->set_state(trained->state());
  EXPECT_GT(test::distance(logits(*trained), before), 0);
  EXPECT_EQ(test::distance(logits(*loaded), logits(*trained)), 0);
}

void expect_same_parameters(const State& after, const State& before) {
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].first.find("running_") != std::string::npos || before[i].second.dtype() != DType::f32)
      continue;
    EXPECT_EQ(std::memcmp(before[i].second.raw(), after[i].second.raw(), before[i].second.bytes()), 0)
        << before[i].first;
  }
}

// The average of running statistics too, which gradients() moves and apply() averages.
TEST(EmulatedGpuEngine, AveragesInAStepAsInGradientsAndApply) {
  const Network network = network_of(kCase);
  const EngineOptions options{.optimizer = {.method = SgdOptions{.momentum = 0.9}, .average = true}};
  const auto whole = emulated(network, options), parts = emulated(network, options);
  const auto reference = make_reference_engine(network, options);
  for (std::uint64_t i = 0; i < 3; ++i) {
    const Examples e = test::examples(kCase.images, 5, i);
    const StepInputs inputs{.lr = 0.01F, .average_share = i == 0 ? 1.0F : 0.25F};
    for (Engine* engine : {static_cast<Engine*>(whole.get()), reference.get()})
      engine->step(e.images.view<float>(), e.labels.view<std::int32_t>(), inputs);
    parts->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
    parts->apply(inputs);
  }
  expect_same_bits(parts->state(StateScope::all), whole->state(StateScope::all));
  const State own = whole->state();
  for (Engine* engine : {static_cast<Engine*>(whole.get()), reference.get()}) engine->swap_average();
  test::expect_states_near(whole->state(), reference->state(), 1e-3);
  EXPECT_NE(io::weights_sha256(whole->state()), io::weights_sha256(own));
}

TEST(EmulatedGpuEngine, KeepsTheMeanOfGradientsOfParts) {
  const Network network = network_of(kCase);
  const Examples first = test::examples(kCase.images, 5, 1), second = test::examples(kCase.images, 5, 2);
  const auto whole = emulated(network), parts = emulated(network);
  const auto take = [](Engine& engine, const Examples& e, float share) {
    engine.gradients(e.images.view<float>(), e.labels.view<std::int32_t>(), share);
    return engine.gradient_values();
  };
  State expected = take(*whole, first, 1);
  const State of_second = take(*whole, second, 1);
  take(*parts, first, 1);
  for (const GradientSpan& span : parts->gradient_spans())
    if (span.values.size() == 5) std::ranges::fill(span.values, 3.0F);  // of the five classes' biases
  const State mean = take(*parts, second, 0.25F);
  int written = 0;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const std::span<float> values = expected[i].second.values();
    if (values.size() == 5) std::ranges::fill(values, 3.0F), ++written;
    for (std::size_t k = 0; k < values.size(); ++k)
      values[k] = 0.75F * values[k] + 0.25F * of_second[i].second.values()[k];
    EXPECT_LE(test::distance(mean[i].second, expected[i].second),
              0x1p-22 * (1e-3 + test::norm(expected[i].second)))
        << mean[i].first;
  }
  EXPECT_EQ(written, 1);
}

TEST(EmulatedGpuEngine, TakesAStepForGradientsAndApply) {
  const Network network = network_of(kCase);
  const Examples e = test::examples(kCase.images, 5);
  const auto whole = emulated(network), parts = emulated(network), lent = emulated(network);
  step(*whole, e);
  parts->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  parts->apply({0.05F});
  expect_same_bits(parts->state(StateScope::all), whole->state(StateScope::all));
  // What is written to the spans is what apply() takes.
  lent->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  for (const GradientSpan& span : lent->gradient_spans()) std::ranges::fill(span.values, 0.0F);
  lent->apply({0.05F});
  expect_same_parameters(lent->state(), emulated(network)->state());
}

TEST(EmulatedGpuEngine, TakesSpansWithEveryApply) {
  const Network network = network_of(kCase);
  const Examples e = test::examples(kCase.images, 5);
  const auto engine = emulated(network);
  engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  const std::vector<GradientSpan> spans = engine->gradient_spans();
  engine->apply({.lr = 0});
  for (const GradientSpan& span : spans) std::ranges::fill(span.values, 0.0F);
  engine->apply({.lr = 1});
  expect_same_parameters(engine->state(), emulated(network)->state());
}

TEST(EmulatedGpuEngine, SaysThatAProfiledStepWasNotFinite) {
  const Examples e = test::examples(kCase.images, 5);
  const auto engine = emulated(network_of(kCase));
  engine->profile(e.images.view<float>(), e.labels.view<std::int32_t>(),
                  {.lr = std::numeric_limits<float>::infinity()});
  EXPECT_FALSE(engine->finite());
}

TEST(EmulatedGpuEngine, GoesOnFromAStateThatWasGivenBack) {
  const Network network = network_of(kCase);
  const EngineOptions options{.optimizer = {.method = SgdOptions{.momentum = 0.9}}};
  const auto first = emulated(network, options), second = emulated(network, options);
  step(*first, test::examples(kCase.images, 5, 1));
  second->set_state(first->state(StateScope::all));
  for (const auto& engine : {first.get(), second.get()}) step(*engine, test::examples(kCase.images, 5, 2));
  expect_same_bits(first->state(StateScope::all), second->state(StateScope::all));
}

TEST(EmulatedGpuEngine, SeesNumbersThatAreNotFinite) {
  const Network network = network_of(kCase);
  Examples e = test::examples(kCase.images, 5);
  const auto engine = emulated(network);
  step(*engine, e);
  EXPECT_TRUE(engine->finite());
  const State good = engine->state(StateScope::all);
  step(*engine, e, std::numeric_limits<float>::infinity());
  EXPECT_FALSE(engine->finite());
  engine->set_state(good);
  EXPECT_TRUE(engine->finite());
  // Only running statistics become infinite where there is no update.
  e.images.values()[5] = std::numeric_limits<float>::infinity();
  engine->gradients(e.images.view<float>(), e.labels.view<std::int32_t>());
  EXPECT_FALSE(engine->finite());
  engine->set_state(good);
  const auto found = engine->find_nonfinite(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.05F});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->place, NonFinite::Place::images);
}

TEST(EmulatedGpuEngine, AnswersInSeveralShapesAndAfterTraining) {
  const Network network = network_of(kCase);
  const auto ours = emulated(network);
  const auto reference = make_reference_engine(network);
  for (const Shape& shape :
       {Shape{3, 1, 19, 22}, Shape{1, 1, 19, 22}, Shape{3, 1, 19, 22}, Shape{2, 1, 25, 17}}) {
    const Examples e = test::examples(shape, 5, static_cast<std::uint64_t>(shape[0]));
    const Tensor a = ours->infer(e.images.view<float>()), b = reference->infer(e.images.view<float>());
    EXPECT_LE(test::distance(a, b), 1e-5 * test::norm(b));
    step(*ours, e);
    step(*reference, e);
  }
}

TEST(EmulatedGpuEngine, RefusesFunctionsOfAnotherVersionAndDevicesThatAreNotThere) {
  const Network network = network_of(kCase);
  resnet_device_api other = emulator::api();
  ++other.kernels;
  EXPECT_THROW(engine::make_gpu_engine(network, {}, other, 0), ConfigError);
  EXPECT_THROW(engine::make_gpu_engine(network, {}, emulator::api(), 1), ConfigError);
}

TEST(EmulatedGpuEngine, ThatOnlyAnswersKeepsItsState) {
  const Network network = network_of(kCase);
  const auto engine = engine::make_gpu_inference_engine(network, {}, test::tested_device(), 0);
  const Examples e = test::examples(kCase.images, 5);
  EXPECT_LE(
      test::distance(engine->infer(e.images.view<float>()), emulated(network)->infer(e.images.view<float>())),
      0);
  EXPECT_THROW(engine->set_state(engine->state()), ConfigError);
  EXPECT_THROW(step(*engine, e), ConfigError);
}

void expect_no_step_of_a_child(Engine& engine) {
  const Examples e = test::examples(kCase.images, 5);
  step(engine, e);
  EXPECT_EQ(test::in_child([&] {
              step(engine, e);
              return true;
            }),
            test::Child::threw);
  step(engine, e);
}

TEST(EmulatedGpuEngine, IsNotForAChildOfFork) {
  const Network network = network_of(kCase);
  const auto engine = emulated(network);
  expect_no_step_of_a_child(*engine);
}

TEST(EmulatedGpuEngine, EndsNothingInAChildOfFork) {
  static int ended = 0;
  resnet_device_api api = emulator::api();
  api.end_event = [](resnet_event*) { ++ended; };
  api.end_graph = [](resnet_graph*) { ++ended; };
  api.end_stream = [](resnet_stream*) { ++ended; };
  api.release = [](void*) { ++ended; };
  auto engine = engine::make_gpu_engine(network_of(kCase), {}, api, 0);
  const Examples e = test::examples(kCase.images, 5);
  for (int i = 0; i < 2; ++i) step(*engine, e);
  ended = 0;
  EXPECT_EQ(test::in_child([&] {
              engine.reset();
              return ended == 0;
            }),
            test::Child::held);
  engine.reset();
  EXPECT_GT(ended, 3);
}

// As a driver's may be, which keeps it from children.
TEST(EmulatedGpuEngine, WritesNoPinnedMemoryInAChildOfFork) {
  resnet_device_api api = emulator::api();
  api.allocate_pinned = [](std::uint64_t bytes, void** memory) {
    *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return *memory != MAP_FAILED && ::madvise(*memory, bytes, MADV_DONTFORK) == 0 ? 0 : 1;
  };
  api.release_pinned = [](void*) {};
  const auto engine = engine::make_gpu_engine(network_of(kCase), {}, api, 0);
  expect_no_step_of_a_child(*engine);
}

TEST(EmulatedGpuEngine, GoesOnInNoGraphWhereCapturingOneFails) {
  static bool captures = false, refused = false;
  resnet_device_api failing = emulator::api();
  failing.begin_capture = [](resnet_stream* stream) {
    captures = true;
    return emulator::api().begin_capture(stream);
  };
  failing.end_capture = [](resnet_stream* stream, resnet_graph** graph) {
    captures = false;
    return emulator::api().end_capture(stream, graph);
  };
  failing.launch = [](resnet_stream* stream, const resnet_launch* launch) {
    if (captures)
      return std::exchange(refused, true) ? emulator::api().launch(stream, launch) : RESNET_DEVICE_FAILED;
    return emulator::api().launch(stream, launch);
  };
  const Network network = network_of(kCase);
  const auto engine = engine::make_gpu_engine(network, {}, failing, 0);
  const Examples e = test::examples(kCase.images, 5);
  const auto other =
      engine::make_gpu_engine(network, {}, emulator::api(), 0);  // of the same kind, on a card too
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(step(*engine, e).loss_sum, step(*other, e).loss_sum) << i;
    EXPECT_EQ(refused, i > 0) << "the first step is in no graph, and none tries again";
  }
  EXPECT_EQ(engine->device().note.find("steps are launched one kernel at a time, in no graph: "), 0U)
      << engine->device().note;
  EXPECT_EQ(other->device().note, "");
}

TEST(EmulatedGpuEngine, SaysWhereCudnnIsMissedThatItsConvolutionsAreOurs) {
  const Network network = network_of(kCase);
  const auto note = [&](Precision precision) {
    return engine::make_gpu_engine(network, {.precision = precision}, emulator::api(), 0)->device().note;
  };
  EXPECT_EQ(note(Precision::f32), "");
  for (const Precision precision : {Precision::bf16, Precision::tf32}) {
    const std::string text = note(precision);
    EXPECT_EQ(text.find("the emulated device has no cuDNN: own kernels compute all"), 0U) << text;
    EXPECT_NE(text.find("RESNET_CUDNN_DIR"), std::string::npos) << text;
  }
}

TEST(EmulatedGpuEngine, SaysWhatTheDeviceSaysWhereItFails) {
  const Network network = network_of(kCase);
  static bool broken = false;
  resnet_device_api failing = emulator::api();
  failing.launch_graph = [](resnet_stream* stream, resnet_graph* graph) {
    return broken ? RESNET_DEVICE_FAILED : emulator::api().launch_graph(stream, graph);
  };
  failing.error = [] { return "the device fell off the bus"; };
  const auto engine = engine::make_gpu_engine(network, {}, failing, 0);
  const Examples e = test::examples(kCase.images, 5);
  step(*engine, e);
  broken = true;
  try {
    step(*engine, e);
    ADD_FAILURE() << "it did not throw";
  } catch (const DeviceError& error) {
    EXPECT_NE(
        std::string(error.what()).find("emulator:0 failed while computing: the device fell off the bus"),
        std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace resnet
