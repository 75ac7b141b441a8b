// A step that is not finite is noticed in that step, with the place it comes from, and nothing of it stays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "base/random.h"
#include "io/model_hash.h"
#include "resnet/models.h"
#include "support/message_of.h"
#include "support/scratch_folder.h"
#include "train/checkpoint_case.h"
#include "train/diagnosis.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using test::message_of;
using testing::HasSubstr;

// Noise in three classes.
data::Dataset noise(std::int64_t size) {
  return test::noise(size, 1);
}

nn::Sequential network() {
  return nn::Sequential(nn::Conv2d{3, 8, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{8}, nn::ReLU{},
                        nn::Residual{8, 8}, nn::GlobalAvgPool2d{}, nn::Flatten{}, nn::Dropout{0.2},
                        nn::Linear{8, 3});
}

constexpr std::int64_t kExamples = 24, kBatch = 4;

FitOptions options_of(std::int64_t epochs, OnNan policy) {
  FitOptions options{.epochs = epochs, .batch_size = kBatch, .lr = 0.01F, .seed = 7};
  options.engine.threads = 1;
  options.optimizer.method = SgdOptions{.momentum = 0.9};
  options.on_nan = policy;
  return options;
}

// Where numbers go bad: of some batches, which depends on their pictures alone, so that a step that is taken
// again goes bad again.
struct Injection {
  std::string name;  // of a value of the state or a gradient; "images"
  std::uint64_t element = 0;
  float value = 0;
};

struct Script {
  std::uint64_t one_in = 3;          // batches
  bool gradients = false;            // and not values and pictures
  bool leave_out = false;            // the step in place of that
  std::vector<Injection> done = {};  // of steps
  std::int64_t steps = 0;
};

// An engine into whose steps something that is not finite comes.
class Injecting final : public Engine {
 private:
  std::optional<Injection> drawn(const ImageView& images) const {
    std::uint64_t hash = 0;
    for (std::int64_t i = 0; i < images.shape.elements(); ++i)
      hash = hash * 31 + std::bit_cast<std::uint32_t>(images.data[i]);
    const RandomStream stream(hash, "injection");
    if (stream.word(0) % script_->one_in != 0) return std::nullopt;
    constexpr float kInf = std::numeric_limits<float>::infinity();
    constexpr std::array kValues = {std::numeric_limits<float>::quiet_NaN(), kInf, -kInf};
    const std::size_t name = stream.word(1) % (names_.size() + 1);
    return Injection{name == names_.size() ? "images" : names_[name], stream.word(2),
                     kValues.at(stream.word(3) % kValues.size())};
  }

  template <class Call>
  auto with(const std::optional<Injection>& injection, const ImageView& images, const Call& call) {
    if (!injection) return call(images);
    if (injection->name == "images") {
      std::vector<float> pixels(images.data, images.data + images.shape.elements());
      pixels[injection->element % pixels.size()] = injection->value;
      ImageView bad = images;
      bad.data = pixels.data();
      return call(bad);
    }
    for (auto& [name, tensor] : engine_->state(StateScope::all)) {
      if (name != injection->name) continue;
      Tensor bad = tensor;
      bad.values()[injection->element % bad.values().size()] = injection->value;
      engine_->set_state({{name, bad}});
    }
    return call(images);
  }

 public:
  Injecting(Network network, const EngineOptions& options, std::shared_ptr<Script> script)
      : engine_(make_engine(std::move(network), options)), script_(std::move(script)) {
    for (const auto& [name, tensor] : engine_->state(StateScope::all)) {
      if (tensor.dtype() == DType::f32) names_.push_back(name);
    }
  }

  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    ++script_->steps;
    const std::optional<Injection> injection = drawn(images);
    if (injection) script_->done.push_back(*injection);
    if (injection && script_->leave_out) return {};
    return with(injection, images,
                [&](const ImageView& view) { return engine_->step(view, targets, inputs); });
  }
  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    pending_ = drawn(images);  // that of the step's last batch counts
    if (before_.empty()) before_ = engine_->state(StateScope::all);
    return engine_->gradients(images, targets, share);
  }
  void apply(const StepInputs& inputs) override {
    ++script_->steps;
    const State before = std::exchange(before_, {});
    if (pending_ && script_->leave_out) {
      script_->done.push_back(*pending_);
      engine_->set_state(before);
      return;
    }
    if (pending_) {
      std::vector<GradientSpan> spans = engine_->gradient_spans();
      const GradientSpan& span = spans[pending_->element % spans.size()];
      span.values[pending_->element % span.values.size()] = pending_->value;
      script_->done.push_back({span.name, 0, pending_->value});
    }
    engine_->apply(inputs);
  }
  std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                          const StepInputs& inputs) override {
    const std::optional<Injection> injection = script_->gradients ? std::nullopt : drawn(images);
    return with(injection, images,
                [&](const ImageView& view) { return engine_->find_nonfinite(view, targets, inputs); });
  }
  bool finite() const override { return engine_->finite(); }
  Tensor infer(const ImageView& images) override { return engine_->infer(images); }
  State state(StateScope scope) const override { return engine_->state(scope); }
  void set_state(const State& state) override {
    before_.clear();
    engine_->set_state(state);
  }
  State gradient_values() const override { return engine_->gradient_values(); }
  std::vector<GradientSpan> gradient_spans() override { return engine_->gradient_spans(); }
  DeviceInfo device() const override { return engine_->device(); }

 private:
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<Script> script_;
  std::vector<std::string> names_;
  std::optional<Injection> pending_;
  State before_;  // the step
};

class Diagnoses final : public Observer {
 public:
  void on_start(const RunInfo& run) override { starts.push_back(run.done_steps); }
  void on_nonfinite(const Diagnosis& diagnosis) override { all.push_back(diagnosis); }
  std::vector<Diagnosis> all;
  std::vector<std::int64_t> starts;
};

struct Outcome {
  std::string hash;
  FitResult result;
  std::vector<Diagnosis> diagnoses;
  std::vector<Injection> injected;
};

EngineFactory injecting(const std::shared_ptr<Script>& script) {
  return [script](Network network, const EngineOptions& engine) {
    return std::make_unique<Injecting>(std::move(network), engine, script);
  };
}

Outcome run(FitOptions options, const Script& script) {
  const auto shared = std::make_shared<Script>(script);
  options.engine_factory = injecting(shared);
  const auto diagnoses = std::make_shared<Diagnoses>();
  options.observers = {diagnoses};
  nn::Sequential net = network();
  Outcome outcome;
  outcome.result = fit(net, noise(kExamples), noise(6), options);
  outcome.hash = outcome.result.weights_sha256;
  outcome.diagnoses = diagnoses->all;
  outcome.injected = shared->done;
  return outcome;
}

// 2 kinds of runs with at least 100 steps each that go bad.
TEST(NonFinite, IsCaughtInItsStepWithTheRightPlaceWhereverItComesFrom) {
  std::size_t caught = 0;
  for (const bool gradients : {false, true}) {
    FitOptions options = options_of(60, OnNan::skip);
    options.average = {.decay = 0.1, .every = 1};  // whose shares do not depend on how many there were
    if (gradients) options.clip_norm = 1;          // the gradients come out of the engine
    const Outcome skipped = run(options, {.gradients = gradients});
    ASSERT_GE(skipped.injected.size(), 100U);
    ASSERT_EQ(skipped.diagnoses.size(), skipped.injected.size());
    for (std::size_t i = 0; i < skipped.injected.size(); ++i) {
      const Injection& injection = skipped.injected[i];
      const Diagnosis& d = skipped.diagnoses[i];
      // A gradient that a test wrote is not there when the step is taken again.
      ASSERT_EQ(d.first.has_value(), !gradients) << i;
      const NonFinite& found = gradients ? *d.left : *d.first;
      EXPECT_EQ(found.name, injection.name) << to_string(d);
      if (!gradients) EXPECT_EQ(found.nan, std::isnan(injection.value)) << to_string(d);
      EXPECT_EQ(d.outcome, "skip");
      EXPECT_EQ(d.examples.size(), static_cast<std::size_t>(kBatch));
      caught += found.name == injection.name ? 1 : 0;
    }
    // And nothing stays of them: as an engine does that knows of the step what is to come.
    const Outcome left_out = run(options, {.gradients = gradients, .leave_out = true});
    EXPECT_EQ(skipped.hash, left_out.hash);
    EXPECT_EQ(left_out.diagnoses.size(), 0U);
    EXPECT_EQ(skipped.result.skipped_steps, static_cast<std::int64_t>(skipped.injected.size()));
    EXPECT_EQ(skipped.result.steps, 60 * kExamples / kBatch);
    EXPECT_TRUE(skipped.result.complete);
  }
  EXPECT_GE(caught, 200U);
  std::cout << caught << " caught\n";
}

TEST(NonFinite, StopsTheRunAndLeavesTheNetworkAsItWasBefore) {
  // Which step it is, and what the weights were before.
  const auto script = std::make_shared<Script>(Script{.one_in = 9});
  FitOptions options = options_of(20, OnNan::stop);
  const auto diagnoses = std::make_shared<Diagnoses>();
  options.observers = {diagnoses};
  options.engine_factory = injecting(script);
  nn::Sequential net = network();
  const std::string message = message_of<Error>([&] { fit(net, noise(kExamples), noise(6), options); });
  ASSERT_EQ(diagnoses->all.size(), 1U);
  const Diagnosis& d = diagnoses->all[0];
  ASSERT_GE(d.step, 3);
  EXPECT_EQ(d.outcome, "stop");
  EXPECT_THAT(message, HasSubstr("no longer finite at step " + std::to_string(d.step) + ": "));
  EXPECT_THAT(message, HasSubstr(script->done.at(0).name == "images" ? "a pixel" : script->done[0].name));

  FitOptions shorter = options_of(20, OnNan::stop);
  shorter.steps = d.step - 1;
  nn::Sequential before = network();
  fit(before, noise(kExamples), noise(6), shorter);
  EXPECT_EQ(io::weights_sha256(state_of(net)), io::weights_sha256(state_of(before)));
}

TEST(NonFinite, EndsARunThatLeavesOutTenStepsInARow) {
  FitOptions options = options_of(20, OnNan::skip);
  EXPECT_THAT(message_of<Error>([&] { run(options, {.one_in = 1}); }),
              HasSubstr("no longer finite at step 11"));
}

TEST(NonFinite, OfSeveralBatchesLeavesOutTheWholeStep) {
  FitOptions options = options_of(10, OnNan::skip);
  options.accumulate = 4;  // of six batches an epoch: the second step has two
  options.average = {.decay = 0.1, .every = 1};
  const Outcome skipped = run(options, {.one_in = 5, .gradients = true});
  EXPECT_GE(skipped.diagnoses.size(), 1U);
  EXPECT_EQ(skipped.result.steps, 20);
  EXPECT_EQ(skipped.hash, run(options, {.one_in = 5, .gradients = true, .leave_out = true}).hash);
}

// A checkpoint holds what a run needs to go on that has left steps out.
TEST(NonFinite, IsLeftOutAlikeInARunThatIsResumed) {
  const Script script{.one_in = 3};
  FitOptions options = options_of(5, OnNan::skip);
  const Outcome undisturbed = run(options, script);
  ASSERT_GE(undisturbed.diagnoses.size(), 5U);
  const ScratchFolder scratch;
  options.checkpoints = {.folder = scratch / "run", .every_steps = 1, .keep = 2};
  for (std::int64_t steps = 3; steps < 30; steps += 4) {
    options.steps = steps;
    run(options, script);
    options.checkpoints.resume = true;
  }
  options.steps = 0;
  const Outcome resumed = run(options, script);
  EXPECT_EQ(resumed.hash, undisturbed.hash);
  EXPECT_EQ(resumed.result.skipped_steps, undisturbed.result.skipped_steps);
  EXPECT_EQ(resumed.result.loss, undisturbed.result.loss);
}

// Weights that grow until they overflow, as those of a rate that is too high: half of it again and again
// helps.
class Exploding final : public Observer {
 public:
  void on_start(const RunInfo& run) override { starts.push_back(run.done_steps); }
  void on_nonfinite(const Diagnosis& d) override {
    rates.push_back(d.lr);
    outcomes.push_back(d.outcome);
    rollbacks.push_back(d.rollbacks);
  }
  std::vector<double> rates;
  std::vector<std::string> outcomes;
  std::vector<std::int64_t> starts, rollbacks;
};

std::int64_t steps_of(const Engine& engine) {  // batches, where several make a step
  const State all = engine.state(StateScope::all);
  return std::ranges::find(all, "engine/steps", &State::value_type::first)->second.view<std::int64_t>()[0];
}

template <class E, class... More>
EngineFactory engine_of(More... more) {
  return [=](Network network, const EngineOptions& options) {
    return std::make_unique<E>(std::move(network), options, more...);
  };
}

// An engine that is another one but for its steps.
class OtherSteps : public Engine {
 public:
  OtherSteps(Network network, const EngineOptions& options)
      : engine_(make_engine(std::move(network), options)) {}
  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    return engine_->step(images, targets, inputs);
  }
  StepResult gradients(const ImageView&, const Targets&, float) override { return {}; }
  void apply(const StepInputs&) override {}
  bool finite() const override { return engine_->finite(); }
  Tensor infer(const ImageView& images) override { return engine_->infer(images); }
  State state(StateScope scope) const override { return engine_->state(scope); }
  void set_state(const State& state) override { engine_->set_state(state); }
  State gradient_values() const override { return {}; }
  std::vector<GradientSpan> gradient_spans() override { return {}; }
  DeviceInfo device() const override { return engine_->device(); }

 protected:
  std::unique_ptr<Engine> engine_;
};

// Goes bad at step `at` of the engine as long as the rate is above `most`.
class TooFast final : public OtherSteps {
 public:
  TooFast(Network network, const EngineOptions& options, std::int64_t at, float most)
      : OtherSteps(std::move(network), options), at_(at), most_(most) {}
  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    StepInputs taken = inputs;
    if (steps_of(*engine_) >= at_ && inputs.lr > most_) taken.lr = std::numeric_limits<float>::infinity();
    return engine_->step(images, targets, taken);
  }

 private:
  std::int64_t at_;
  float most_;
};

FitOptions too_fast(OnNan policy, float most, const std::shared_ptr<Exploding>& seen) {
  FitOptions options = options_of(4, policy);
  options.lr = 0.08F;
  options.observers = {seen};
  options.engine_factory = engine_of<TooFast>(9, most);
  return options;
}

TEST(NonFinite, GoesBackToTheNewestCheckpointAndThenFurtherEachTimeWithHalfTheRate) {
  const ScratchFolder scratch;
  const auto seen = std::make_shared<Exploding>();
  FitOptions options = too_fast(OnNan::rollback, 0.03F, seen);
  options.checkpoints = {.folder = scratch / "run", .every_steps = 4, .every_epoch = false};
  nn::Sequential net = network();
  const FitResult result = fit(net, noise(kExamples), noise(6), options);
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.rollbacks, 2);
  EXPECT_EQ(result.steps, 24);
  EXPECT_THAT(seen->starts, testing::ElementsAre(0, 8, 4));
  EXPECT_THAT(seen->outcomes, testing::ElementsAre("rollback", "rollback"));
  EXPECT_THAT(seen->rollbacks, testing::ElementsAre(1, 2));
  EXPECT_NEAR(seen->rates.at(1), seen->rates.at(0) / 2, 1e-9);

  // Ended after it went back, and resumed: the same.
  const auto again = std::make_shared<Exploding>();
  FitOptions part = too_fast(OnNan::rollback, 0.03F, again);
  part.checkpoints = {.folder = scratch / "part", .every_steps = 4, .every_epoch = false};
  part.steps = 14;
  nn::Sequential first = network();
  fit(first, noise(kExamples), noise(6), part);
  part.steps = 0;
  part.checkpoints.resume = true;
  nn::Sequential second = network();
  const FitResult resumed = fit(second, noise(kExamples), noise(6), part);
  EXPECT_EQ(resumed.weights_sha256, result.weights_sha256);
  EXPECT_EQ(resumed.rollbacks, 2);
}

// A step at a rate that is too high leaves a number behind that is finite, and does harm some steps later: a
// checkpoint in between holds it.
class Poisoned final : public OtherSteps {
 public:
  Poisoned(Network network, const EngineOptions& options, std::int64_t poisons, std::int64_t harms,
           float most)
      : OtherSteps(std::move(network), options), poisons_(poisons), harms_(harms), most_(most) {}
  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    const State all = engine_->state(StateScope::all);
    const auto called = [&](const char* name) -> const Tensor& {
      return std::ranges::find(all, name, &State::value_type::first)->second;
    };
    const std::int64_t steps = called("engine/steps").view<std::int64_t>()[0];
    Tensor bias = called("7.bias");
    if (steps == poisons_ && inputs.lr > most_) {
      bias.values()[0] = kPoison;
      engine_->set_state({{"7.bias", bias}});
    }
    StepInputs taken = inputs;
    if (steps >= harms_ && bias.values()[0] > kPoison / 2) taken.lr = std::numeric_limits<float>::infinity();
    return engine_->step(images, targets, taken);
  }

 private:
  static constexpr float kPoison = 1000;
  std::int64_t poisons_, harms_;
  float most_;
};

TEST(NonFinite, GivesUpACheckpointThatLeadsThereAgainForAnOlderOne) {
  const ScratchFolder scratch;
  const auto run_poisoned = [&](FitOptions options, const std::shared_ptr<Exploding>& seen) {
    options.lr = 0.08F;
    options.observers = {seen};
    options.engine_factory = engine_of<Poisoned>(6, 9, 0.03F);
    nn::Sequential net = network();
    return fit(net, noise(kExamples), noise(6), options);
  };
  FitOptions options = options_of(4, OnNan::rollback);
  options.checkpoints = {.folder = scratch / "run", .every_steps = 4, .every_epoch = false, .keep = 5};
  auto seen = std::make_shared<Exploding>();
  const FitResult result = run_poisoned(options, seen);
  EXPECT_THAT(seen->starts, testing::ElementsAre(0, 8, 4));
  EXPECT_EQ(result.rollbacks, 2);
  EXPECT_EQ(result.steps, 24);
  EXPECT_TRUE(result.complete);

  // Ended before the step where the one that was given up had been: it is no more, and the run goes on as it
  // would have.
  options.checkpoints.folder = scratch / "part";
  options.checkpoints.every_steps = 1;
  seen = std::make_shared<Exploding>();
  const FitResult whole = run_poisoned(options, seen);
  EXPECT_THAT(seen->starts, testing::ElementsAre(0, 9, 8, 7, 6));
  EXPECT_EQ(whole.rollbacks, 4);
  options.checkpoints.folder = scratch / "ended";
  class Ending final : public Observer {
   public:
    void on_start(const RunInfo& run) override { last_ = run.done_steps == 8; }
    void on_step(const Progress&) override {
      if (last_) stop = true;
    }
    std::atomic<bool> stop = false;

   private:
    bool last_ = false;
  };
  const auto ending = std::make_shared<Ending>();
  options.stop = &ending->stop;
  FitOptions ended = options;
  ended.lr = 0.08F;
  ended.observers = {ending};
  ended.engine_factory = engine_of<Poisoned>(6, 9, 0.03F);
  nn::Sequential net = network();
  EXPECT_EQ(fit(net, noise(kExamples), noise(6), ended).steps, 9);
  const std::vector<std::filesystem::path> left = checkpoints_in(scratch / "ended");
  EXPECT_EQ(left.front().filename(), "step-000000009.safetensors");
  options.stop = nullptr;
  options.checkpoints.resume = true;
  const FitResult resumed = run_poisoned(options, std::make_shared<Exploding>());
  EXPECT_EQ(resumed.weights_sha256, whole.weights_sha256);
  EXPECT_EQ(resumed.rollbacks, 4);
}

TEST(NonFinite, GoesBackToTheBeginningWithoutACheckpointAndAtMostFiveTimes) {
  auto seen = std::make_shared<Exploding>();
  nn::Sequential net = network();
  FitOptions options = too_fast(OnNan::rollback, 0.05F, seen);
  options.engine.device = "auto";
  std::vector<std::string> devices;
  options.engine_factory = [&devices, make = options.engine_factory](Network network, EngineOptions engine) {
    devices.push_back(std::exchange(engine.device, "cpu"));
    return make(std::move(network), engine);
  };
  const FitResult result = fit(net, noise(kExamples), noise(6), options);
  EXPECT_THAT(devices, testing::ElementsAre("auto", "cpu")) << "it stays on the device that it began on";
  EXPECT_EQ(result.rollbacks, 1);
  EXPECT_THAT(seen->starts, testing::ElementsAre(0, 0));
  FitOptions slower = options_of(4, OnNan::stop);
  slower.lr = 0.04F;  // half of it
  nn::Sequential other = network();
  EXPECT_EQ(fit(other, noise(kExamples), noise(6), slower).weights_sha256, result.weights_sha256);

  seen = std::make_shared<Exploding>();
  nn::Sequential third = network();
  EXPECT_THAT(message_of<Error>(
                  [&] { fit(third, noise(kExamples), noise(6), too_fast(OnNan::rollback, 0.0F, seen)); }),
              HasSubstr("no longer finite"));
  EXPECT_THAT(seen->outcomes,
              testing::ElementsAre("rollback", "rollback", "rollback", "rollback", "rollback", "stop"));
}

TEST(NonFinite, BeforeTheFirstStepIsNamedAndNoStepIsTaken) {
  nn::Sequential net = network();
  nn::init(net, net.scheme(), 0);
  State state = state_of(net);
  state.at(0).second.values()[1] = -std::numeric_limits<float>::infinity();
  set_state(net, state);
  EXPECT_THAT(message_of<Error>([&] { fit(net, noise(kExamples), noise(6), options_of(1, OnNan::skip)); }),
              testing::StartsWith(state[0].first + " is infinite before the step"));
}

// Bits that flip once, which no step repeats.
TEST(NonFinite, ThatDoesNotComeAgainIsTheMachines) {
  EXPECT_THAT(to_string(Diagnosis{.step = 3, .loss = 1}),
              HasSubstr("the memory or the processor may be at fault"));
}

class Points final : public Observer {
 public:
  void on_point(const CurvePoint& point) override { all.push_back(point); }
  void on_evaluation(const Progress& progress, std::int64_t, std::int64_t) override {
    EXPECT_TRUE(std::isnan(progress.loss));
  }
  std::vector<CurvePoint> all;
};

// The gradient of the first of two batches goes bad, and no loss tells.
class FirstOfTwo final : public OtherSteps {
 public:
  using OtherSteps::OtherSteps;
  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    const bool bad = is_bad();
    const StepResult result = engine_->gradients(images, targets, share);
    if (bad) engine_->gradient_spans()[0].values[0] = std::numeric_limits<float>::infinity();
    return result;
  }
  void apply(const StepInputs& inputs) override { engine_->apply(inputs); }
  std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                          const StepInputs& inputs) override {
    if (is_bad()) return NonFinite{NonFinite::Place::gradient, "0", "conv2d", false};
    return engine_->find_nonfinite(images, targets, inputs);
  }

 private:
  bool is_bad() const { return steps_of(*engine_) == 4; }
};

template <class E>
FitOptions of_two_batches(OnNan policy) {
  FitOptions options = options_of(1, policy);
  options.accumulate = 2;
  options.engine_factory = engine_of<E>();
  return options;
}

TEST(NonFinite, InAnyBatchOfAStepIsNamed) {
  const FitOptions options = of_two_batches<FirstOfTwo>(OnNan::stop);
  nn::Sequential net = network();
  EXPECT_THAT(message_of<Error>([&] { fit(net, noise(kExamples), noise(6), options); }),
              HasSubstr("a gradient in 0 (conv2d) is infinite"));
}

// Of two batches of a step the first has a large loss, and the second none that is finite.
class SecondOfTwo final : public OtherSteps {
 public:
  using OtherSteps::OtherSteps;
  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    const std::int64_t batch = steps_of(*engine_);
    engine_->gradients(images, targets, share);
    const auto examples = static_cast<double>(images.shape[0]);
    if (batch == 4 && !done_) return {1000 * examples, 0};
    if (batch == 5 && !std::exchange(done_, true)) return {std::numeric_limits<double>::quiet_NaN(), 0};
    return {examples, 0};
  }

 private:
  bool done_ = false;
};

TEST(NonFinite, OfSeveralBatchesCountsNoneOfAStepThatIsLeftOut) {
  const FitOptions options = of_two_batches<SecondOfTwo>(OnNan::skip);
  nn::Sequential net = network();
  const FitResult result = fit(net, noise(kExamples), noise(6), options);
  EXPECT_EQ(result.skipped_steps, 1);
  EXPECT_EQ(result.loss, 1);
}

TEST(NonFinite, LeftOutCountsInWhatIsTold) {
  class Steps final : public Observer {
   public:
    void on_step(const Progress& progress) override {
      EXPECT_EQ(progress.step, ++steps);
      EXPECT_GT(progress.lr, 0);
    }
    void on_evaluation(const Progress& progress, std::int64_t, std::int64_t) override {
      EXPECT_EQ(progress.step, steps);
    }
    std::int64_t steps = 0;
  };
  FitOptions options = options_of(5, OnNan::skip);
  options.engine_factory = injecting(std::make_shared<Script>());
  const auto steps = std::make_shared<Steps>();
  options.observers = {steps};
  nn::Sequential net = network();
  EXPECT_GT(fit(net, noise(kExamples), noise(6), options).skipped_steps, 0);
  EXPECT_EQ(steps->steps, 5 * kExamples / kBatch);
}

TEST(NonFinite, OfAnEpochWithoutAStepNoLossIsTold) {
  const auto script = std::make_shared<Script>(Script{.one_in = 1});
  FitOptions options = options_of(2, OnNan::skip);
  const auto points = std::make_shared<Points>();
  options.observers = {points};
  options.engine_factory = injecting(script);
  nn::Sequential net = network();
  EXPECT_THROW(fit(net, noise(kExamples), noise(6), options), Error);
  ASSERT_FALSE(points->all.empty());
  for (const CurvePoint& point : points->all) EXPECT_TRUE(std::isnan(point.loss)) << point.x;
}

}  // namespace
}  // namespace resnet
