// What a run is said to need is what it takes.
#include "train/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "base/memory.h"
#include "data/cache.h"
#include "support/networks.h"
#include "train/scripted_engine.h"

namespace resnet {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMiB = 1 << 20;

// Images of 64x64 that are nothing but their size.
class Blank final : public data::Dataset::Source {
 public:
  explicit Blank(std::int64_t size, bool held) : size_(size), held_(held) {}
  std::int64_t size() const override { return size_; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % 2); }
  void image(std::int64_t i, data::Image& out) const override {
    out = {64, 64, 1, std::vector<std::uint8_t>(std::size_t{64} * 64, static_cast<std::uint8_t>(i))};
  }
  bool in_memory() const override { return held_; }

 private:
  std::int64_t size_;
  bool held_;
};

data::Dataset blanks(std::int64_t size, bool held = false) {
  return {std::make_shared<Blank>(size, held), "blanks", {"a", "b"}, {}, Shape{1, 64, 64}};
}

nn::Sequential network() {
  return test::random_network("d2l_resnet18",
                              {.in_channels = 1, .classes = 2, .blocks = {1}, .channels = {16}});
}

std::unique_ptr<PlannedEngine> engine_for(const FitOptions& options) {
  EngineOptions engine = options.engine;
  engine.threads = 2;
  engine.optimizer = options.optimizer;
  return make_native_engine(network_of(network(), {2, 1, 64, 64}), engine);
}

TEST(MemoryNeed, OfTheEngineIsWhatItsArenaGrowsBy) {
  const data::Dataset train = blanks(21), test = blanks(9);
  for (const std::int64_t accumulate : {1, 2}) {
    for (const bool mixed : {false, true}) {
      FitOptions options{.epochs = 1, .batch_size = 8, .accumulate = accumulate};
      options.optimizer.method = SgdOptions{.momentum = 0.9};
      if (mixed) options.augment = {data::MixUp{}};
      options.engine.threads = 2;
      std::int64_t before = 0, after = 0, need = 0;
      options.engine_factory = [&](Network n, const EngineOptions& o) -> std::unique_ptr<Engine> {
        auto made = make_native_engine(std::move(n), o);
        before = made->arena_bytes();
        need = train::need_of(options, *made, network(), train, test, 3).engine;
        EXPECT_EQ(made->arena_bytes(), before) << "planning takes no memory";
        struct Watched final : public Engine {
          Watched(std::unique_ptr<PlannedEngine> engine, std::int64_t* most)
              : e(std::move(engine)), bytes(most) {}
          ~Watched() override { *bytes = e->arena_bytes(); }
          StepResult step(const ImageView& x, const Targets& t, const StepInputs& i) override {
            return e->step(x, t, i);
          }
          StepResult gradients(const ImageView& x, const Targets& t, float share) override {
            return e->gradients(x, t, share);
          }
          void apply(const StepInputs& i) override { e->apply(i); }
          Tensor infer(const ImageView& x) override { return e->infer(x); }
          State state(StateScope scope) const override { return e->state(scope); }
          void set_state(const State& s) override { e->set_state(s); }
          State gradient_values() const override { return e->gradient_values(); }
          std::vector<GradientSpan> gradient_spans() override { return e->gradient_spans(); }
          DeviceInfo device() const override { return e->device(); }
          std::unique_ptr<PlannedEngine> e;
          std::int64_t* bytes;
        };
        return std::make_unique<Watched>(std::move(made), &after);
      };
      nn::Sequential net = network();
      fit(net, train, test, options);
      EXPECT_EQ(after - before, need) << accumulate << mixed;
      EXPECT_GT(need, kMiB);
    }
  }
}

TEST(MemoryNeed, OfBatchesIsTheirRings) {
  const FitOptions options{.epochs = 1, .batch_size = 8};
  test::ScriptedEngine engine(network_of(network(), {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  const auto batches = [&](std::int64_t train, std::int64_t test, int prefetch) {
    return train::need_of(options, engine, network(), blanks(train), blanks(test), prefetch).batches /
           (64 * 64 * 4 + 12);
  };
  EXPECT_EQ(batches(80, 80, 3), 64);          // four of each
  EXPECT_EQ(batches(80, 80, 1), 32);          // two
  EXPECT_EQ(batches(84, 81, 1), 32 + 4 + 1);  // and the short ones
  EXPECT_EQ(batches(5, 16, 3), 5 + 16);       // no more than there are
}

TEST(MemoryNeed, CountsCopiesOfTheState) {
  test::ScriptedEngine engine(network_of(network(), {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  std::int64_t values = 0;
  nn::for_each_parameter(
      network(), [&](const std::string&, const nn::Parameter& p) { values += 4 * p.shape.elements(); });
  FitOptions options{.epochs = 1, .batch_size = 8};
  const auto need = [&] { return train::need_of(options, engine, network(), blanks(8), blanks(8), 1); };
  EXPECT_EQ(need().checkpoint, 0);
  EXPECT_EQ(need().copies, 2 * values);
  options.checkpoints.folder = "some";
  EXPECT_EQ(need().checkpoint, values);
  options.optimizer.method = AdamWOptions{};
  EXPECT_EQ(need().checkpoint, 3 * values);
  options.average.decay = 0.9;
  options.patience = 1;
  EXPECT_EQ(need().checkpoint, 5 * values);
  EXPECT_EQ(need().copies, 7 * values);
  options.accumulate = 2;
  EXPECT_EQ(need().copies, 7 * values) << "its gradients are the engine's";
}

TEST(Memory, ThatIsTooLittleIsToldBeforeTheFirstStep) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory grows while the run is looked at";
#endif
  nn::Sequential net = network();
  const State before = state_of(net);
  FitOptions options{.epochs = 1, .batch_size = 256};
  options.engine.threads = 1;
  options.engine.memory = resident_bytes() + 20 * kMiB;
  try {
    fit(net, blanks(256), blanks(8), options);
    ADD_FAILURE() << "it ran";
  } catch (const MemoryError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the run needs"));
    EXPECT_THAT(error.hint(), HasSubstr("with FitOptions::accumulate"));
  }
  EXPECT_EQ(test::distance(state_of(net)[0].second, before[0].second), 0);
}

// Pictures of known sizes that are decoded each time.
class Files final : public data::Dataset::Source {
 public:
  std::int64_t size() const override { return 3; }
  std::int32_t label(std::int64_t i) const override { return static_cast<std::int32_t>(i % 2); }
  void image(std::int64_t, data::Image& out) const override {
    out = {64, 64, 1, std::vector<std::uint8_t>(4096)};
  }
  std::optional<Facts> facts(std::int64_t i) const override {
    if (i == 0) return std::nullopt;
    return Facts{100 * i, 50, ""};
  }
};

TEST(MemoryNeed, CountsTheLargestPictureForEachThreadThatDecodes) {
  test::ScriptedEngine engine(network_of(network(), {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  FitOptions options{.epochs = 1, .batch_size = 8};
  options.loader_threads = 2;
  const data::Dataset files(std::make_shared<Files>(), "files", {"a", "b"}, {}, Shape{1, 64, 64});
  const auto batches = [&](const data::Dataset& train) {
    return train::need_of(options, engine, network(), train, blanks(3), 1).batches;
  };
  EXPECT_EQ(batches(files) - batches(blanks(3)), 2 * 16 * 200 * 50);
}

TEST(MemoryNeed, GrowsWithViewsAndTime) {
  test::ScriptedEngine engine(network_of(network(), {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  FitOptions options{.epochs = 1, .batch_size = 8};
  const auto need = [&] { return train::need_of(options, engine, network(), blanks(8), blanks(8), 1); };
  const train::MemoryNeed plain = need();
  options.views = Views::flip;
  EXPECT_GT(need().batches, plain.batches);
  options.views = Views::one;
  options.seconds = 10;  // a warm-up is measured, and taken back
  EXPECT_GT(need().checkpoint, plain.checkpoint);
  options.seconds = 0;
  options.estimate = true;
  EXPECT_GT(need().checkpoint, plain.checkpoint);
  options.estimate = false;
  options.drop_last = true;
  EXPECT_EQ(train::need_of(options, engine, network(), blanks(9), blanks(8), 1).batches,
            train::need_of(options, engine, network(), blanks(8), blanks(8), 1).batches);
}

std::pair<std::string, std::string> refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const MemoryError& error) {
    return {error.what(), error.hint()};
  }
  return {};
}

TEST(Memory, HintsAtWhatWouldFit) {
  const nn::Sequential large = test::random_network(
      "d2l_resnet18", {.in_channels = 1, .classes = 2, .blocks = {1}, .channels = {512}});
  test::ScriptedEngine engine(network_of(large, {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  FitOptions options{.epochs = 1, .batch_size = 8};
  options.optimizer.method = AdamWOptions{};
  options.checkpoints.folder = "some";
  const train::MemoryNeed need = train::need_of(options, engine, large, blanks(8), blanks(8), 1);
  ASSERT_GT(need.checkpoint, 32 * kMiB);
  options.engine.memory = resident_bytes() + need.total() - need.checkpoint / 2;
  const auto fits = [&] { train::fit_into_memory(options, engine, large, blanks(8), blanks(8)); };
  EXPECT_THAT(refusal(fits).second,
              HasSubstr("without checkpoints (CheckpointOptions::every_seconds 0) it needs"));
  options.engine.memory = 1;
  options.accumulate = std::numeric_limits<std::int64_t>::max();
  EXPECT_THAT(refusal(fits).first, HasSubstr("0 MiB are left of"));
  options.accumulate = 1;
  EXPECT_EQ(refusal(fits).second, "no batch is small enough: a smaller network or smaller images need less");
  // Without a bound it is the machine's.
  options.engine.memory = 0;
  options.batch_size = std::int64_t{1} << 36;
  EXPECT_THAT(refusal([&] {
                train::fit_into_memory(options, engine, large, blanks(options.batch_size, true), blanks(8));
              }).first,
              testing::EndsWith(" are free"));
}

TEST(Memory, IsGivenToCachesOnceTheRunHasItsOwn) {
  test::ScriptedEngine engine(network_of(network(), {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  FitOptions options{.epochs = 1, .batch_size = 8};
  options.engine.memory = resident_bytes() + 512 * kMiB;
  const auto kept = [&](const data::Dataset& train, const data::Dataset& test) {
    train::fit_into_memory(options, engine, network(), train, test);
    const data::Image image = train.image(0);
    data::Image room;
    train.cache()->keep(0, data::Form::decoded, image, image);
    return train.cache()->find(0, data::Form::decoded, room) != nullptr;
  };
  const auto cached = [](std::int64_t bytes) {
    return data::cached({blanks(8), blanks(8)}, {.kind = data::CacheKind::memory, .bytes = bytes});
  };
  const data::TrainTest one = cached(kMiB), other = cached(kMiB);
  EXPECT_TRUE(kept(one.train, one.test));
  EXPECT_TRUE(kept(other.train, cached(kMiB).test)) << "of two budgets each has half";
  EXPECT_TRUE(kept(cached(kMiB).train, blanks(8)));
}

TEST(Memory, OfAnEvaluationIsThatOfItsBatches) {
  FitOptions fit;
  const auto engine = engine_for(fit);
  EXPECT_EQ(train::fit_into_memory(*engine, blanks(16), {.batch_size = 8, .views = Views::flip}), 3);
  EXPECT_EQ(train::fit_into_memory(*engine, blanks(0), {.batch_size = 8}), 3) << "nothing to do";
  EXPECT_EQ(train::fit_into_memory(*engine, blanks(16), {.batch_size = 0}), 3) << "refused elsewhere";
  test::ScriptedEngine scripted(network_of(network(), {8, 1, 64, 64}), std::make_shared<test::EngineLog>());
  EXPECT_EQ(train::fit_into_memory(scripted, blanks(16), {.batch_size = 8}), 3) << "no plans to ask";
  FitOptions little;
  little.engine.memory = resident_bytes() + 24 * kMiB;
  const auto bounded = engine_for(little);
  const auto [what, hint] =
      refusal([&] { train::fit_into_memory(*bounded, blanks(1 << 16), {.batch_size = 1 << 14}); });
  EXPECT_THAT(what, HasSubstr("the evaluation needs"));
  EXPECT_EQ(hint, "a smaller EvaluateOptions::batch_size gives the same figures");
}

TEST(Memory, OfParametersIsLookedAtBeforeTheyAreMade) {
  const auto wide =
      models::make("d2l_resnet18", {.in_channels = 1, .classes = 2, .blocks = {1}, .channels = {512}});
  EXPECT_THAT(refusal([&] { train::check_parameters(wide, 1); }).first, HasSubstr(" of parameters needs "));
  EXPECT_NO_THROW(train::check_parameters(wide, 0));
  EXPECT_NO_THROW(train::check_parameters(network(), 1)) << "too small to matter";
}

TEST(Memory, ThatEndsBeforeTheNetworkHasWhatWasTrainedIsSaid) {
  nn::Sequential net = network();
  EXPECT_THROW(train::keep_trained(net, []() -> State { throw std::bad_alloc(); }), NotKept);
}

TEST(Memory, OfAnEngineIsBounded) {
  FitOptions options;
  options.engine.memory = resident_bytes() + 64 * kMiB;
  const auto engine = engine_for(options);
  const Tensor small(Shape{1, 1, 64, 64});
  const float one = 0;  // never read
  const Tensor before = engine->infer(small.view<float>());
  EXPECT_THROW(engine->infer({&one, Shape{1 << 14, 1, 64, 64}}), MemoryError);
  EXPECT_EQ(test::distance(engine->infer(small.view<float>()), before), 0) << "and goes on";
}

TEST(Memory, IsLeftWithinABound) {
  EXPECT_EQ(memory_left(1), 0);
  const std::int64_t now = resident_bytes();
  EXPECT_GT(now, kMiB);
  EXPECT_LE(memory_left(now + 100 * kMiB), 100 * kMiB + 16 * kMiB);
  EXPECT_GT(memory_left(), 0);
  EXPECT_EQ(bytes_text(3 * kMiB / 2), "1.5 MiB");
  EXPECT_EQ(bytes_text(std::int64_t{5} << 30), "5.00 GiB");
  EXPECT_THROW(require_memory(std::int64_t{1} << 60, 0, "this"), MemoryError);
}

TEST(Memory, OfCachesIsLimited) {
  const data::TrainTest sets =
      data::cached({blanks(4), blanks(4)}, {.kind = data::CacheKind::memory, .bytes = kMiB});
  EXPECT_EQ(sets.train.cache()->budget(), sets.test.cache()->budget());
  sets.train.cache()->limit(5000);  // one picture
  const data::Image image = sets.train.image(0);
  data::Image room;
  sets.train.cache()->keep(0, data::Form::decoded, image, image);
  sets.test.cache()->keep(1, data::Form::decoded, image, image);
  EXPECT_NE(sets.train.cache()->find(0, data::Form::decoded, room), nullptr);
  EXPECT_EQ(sets.test.cache()->find(1, data::Form::decoded, room), nullptr);
}

}  // namespace
}  // namespace resnet
