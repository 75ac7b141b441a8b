// Recipes, and what the settings of training say to the library.
#include "settings/recipes.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "resnet/models.h"
#include "settings/options.h"
#include "train/scripted_engine.h"

namespace resnet::settings {
namespace {

using testing::HasSubstr;

std::string value(const Settings& settings, const std::string& name) {
  return option(name).get(settings);
}

Settings with(const Given& given, Settings base = {}) {
  set_all(given, base);
  return base;
}

TEST(Recipes, KnowWhatIsUnsetAgainstThem) {
  const Settings unset = from_toml("recipe = 'scratch'\nweight-decay = ''\n", "x");
  EXPECT_EQ(value(unset, "weight-decay"), "");
  EXPECT_EQ(value(from_toml(to_toml(unset), "y"), "weight-decay"), "");
}

TEST(Recipes, AreOfOptionsAndOfTextsThatTheyTakeAsTheyStand) {
  for (const std::string& name : recipe_names()) {
    Settings settings;
    for (const auto& [option_name, text] : recipe(name)) {
      EXPECT_NO_THROW(option(option_name).set(settings, text)) << name << ' ' << option_name;
      EXPECT_EQ(value(settings, option_name), text) << name;
    }
  }
}

TEST(Recipes, LoseToFlagsWhateverTheirOrder) {
  for (const Given& given :
       {Given{{"recipe", "scratch"}, {"lr", "0.7"}}, Given{{"lr", "0.7"}, {"recipe", "scratch"}}}) {
    const Settings settings = with(given);
    EXPECT_EQ(value(settings, "lr"), "0.7");
    EXPECT_EQ(value(settings, "momentum"), "0.9");
    EXPECT_EQ(value(settings, "recipe"), "scratch");
  }
}

TEST(Recipes, LeaveNothingOfAnother) {
  const Settings fast = with({{"recipe", "fast"}});
  EXPECT_EQ(value(fast, "whiten"), "yes");
  const Settings chapter = with({{"recipe", "chapter"}}, fast);
  for (const Option& o : options()) EXPECT_EQ(o.get(chapter), o.get(Settings())) << o.name;
}

TEST(Recipes, StandInConfigTomlWithAllThatTheySet) {
  const Settings settings = with({{"ema", "0.5"}, {"recipe", "scratch"}});
  const std::string text = to_toml(settings);
  EXPECT_THAT(text, HasSubstr("\nrecipe = 'scratch'\n"));
  EXPECT_THAT(text, HasSubstr("\nlabel-smoothing = 0.1\n"));
  const Settings again = from_toml(text, "config.toml");
  for (const Option& o : options()) EXPECT_EQ(o.get(again), o.get(settings)) << o.name;
  EXPECT_EQ(value(from_toml("lr = 0.7\nrecipe = 'scratch'", ""), "lr"), "0.7") << "by hand, in any order";
  EXPECT_EQ(chosen_text(with({{"recipe", "finetune"}, {"epochs", "10"}})).substr(0, 16), "recipe finetune,");
  EXPECT_EQ(chosen_text({}), "");
  EXPECT_EQ(chosen_text(with({{"model", "resnet34"}, {"momentum", "0.5"}})), "model resnet34, momentum 0.5");
}

nn::Sequential small_network() {
  return models::resnet18(
      {.in_channels = 1, .classes = 3, .blocks = {1, 1}, .channels = {4, 8}, .stem = models::Stem::small});
}

// The rule that counts for a parameter: the first group of its name.
ParameterGroup group_of(const FitOptions& options, const std::string& name) {
  for (const ParameterGroup& group : options.optimizer.groups) {
    if (group.names == name) return group;
  }
  return {};
}

TEST(FitOptionsOf, HaveTheOptimiserAndItsGroups) {
  const nn::Sequential net = small_network();
  const data::Dataset train = test::levels_of({1, 2, 3}, {0, 1, 2}, 3);
  const FitOptions sgd = fit_options(with({{"momentum", "0.9"},
                                           {"nesterov", "yes"},
                                           {"weight-decay", "0.5"},
                                           {"decay-all", "no"},
                                           {"freeze", "conv1,layer1.0"},
                                           {"lr-head", "10"},
                                           {"lr-parts", "layer2=0.5,fc=0.25,layer2.0.conv2=0"},
                                           {"lr-norm-bias", "64"}}),
                                     net, train);
  const auto& method = std::get<SgdOptions>(sgd.optimizer.method);
  EXPECT_EQ(method.momentum, 0.9);
  EXPECT_TRUE(method.nesterov);
  EXPECT_EQ(method.weight_decay, 0.5);
  EXPECT_FALSE(sgd.optimizer.decay_norms_and_biases);
  EXPECT_TRUE(group_of(sgd, "conv1.weight").frozen);
  EXPECT_TRUE(group_of(sgd, "layer1.0.bn2.bias").frozen);
  EXPECT_FALSE(group_of(sgd, "layer2.0.conv1.weight").frozen);
  EXPECT_EQ(group_of(sgd, "fc.weight").lr_factor, 2.5);  // factors of all that it is in are multiplied
  EXPECT_EQ(group_of(sgd, "fc.bias").lr_factor, 2.5);
  EXPECT_EQ(group_of(sgd, "layer2.0.bn1.bias").lr_factor, 32);
  EXPECT_EQ(group_of(sgd, "layer2.0.bn1.weight").lr_factor, 0.5);
  EXPECT_EQ(group_of(sgd, "layer2.0.conv2.weight").lr_factor, 0);
  EXPECT_EQ(group_of(sgd, "bn1.weight").lr_factor, 1);
  const FitOptions adamw = fit_options(with({{"optimizer", "adamw"}, {"beta1", "0.8"}}), net, train);
  EXPECT_EQ(std::get<AdamWOptions>(adamw.optimizer.method).beta1, 0.8);
  EXPECT_EQ(std::get<AdamWOptions>(adamw.optimizer.method).weight_decay, AdamWOptions{}.weight_decay);
  EXPECT_TRUE(group_of(fit_options(with({{"whiten", "yes"}}), net, train), "conv1.weight").frozen);
  for (const auto& [flag, value] : {std::pair("freeze", "layre1"), std::pair("lr-parts", "layre1=2")}) {
    try {
      fit_options(with({{flag, value}}), net, train);
      FAIL();
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.what(), fmt::format("--{}: the network has no part 'layre1'", flag));
      EXPECT_EQ(error.hint(), "did you mean 'layer1'?");
    }
  }
}

TEST(FitOptionsOf, WeighClassesByTheirCounts) {
  const data::Dataset train = test::levels_of({1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 2, 2}, 3);
  const FitOptions options = fit_options(with({{"class-weights", "auto"}}), small_network(), train);
  EXPECT_THAT(options.loss.class_weights, testing::ElementsAre(6.0 / (2 * 4), 1, 6.0 / (2 * 2)));
  EXPECT_TRUE(fit_options({}, small_network(), train).loss.class_weights.empty());
}

// What a run is told, by the field's name as the options' table has it.
std::map<std::string, std::string> told(const Settings& settings) {
  const data::Dataset train = test::levels_of({1, 2, 3}, {0, 1, 1}, 3);
  const FitOptions fit = fit_options(settings, small_network(), train);
  const CheckpointOptions checkpoints = checkpoint_options(settings, "run");
  std::map<std::string, std::string> facts;
  const auto add = [&](const std::string& name, const auto& number) {
    facts[name] = fmt::format("{}", number);
  };
  add("FitOptions::epochs", fit.epochs);
  add("FitOptions::batch_size", fit.batch_size);
  add("FitOptions::lr", fit.lr);
  add("FitOptions::seed", fit.seed);
  add("FitOptions::steps", fit.steps);
  add("FitOptions::step_changes", fit.step_changes.size());
  add("FitOptions::seconds", fit.seconds);
  add("FitOptions::views", static_cast<int>(fit.views));
  add("FitOptions::accumulate", fit.accumulate);
  add("FitOptions::clip_norm", fit.clip_norm);
  add("FitOptions::balanced", fit.balanced);
  add("FitOptions::on_nan", static_cast<int>(fit.on_nan));
  add("FitOptions::patience", fit.patience);
  add("FitOptions::drop_last", fit.drop_last);
  add("FitOptions::loader_threads", fit.loader_threads);
  add("FitOptions::augment", fit.augment.size());
  const auto* sgd = std::get_if<SgdOptions>(&fit.optimizer.method);
  const auto* adamw = std::get_if<AdamWOptions>(&fit.optimizer.method);
  add("FitOptions::optimizer", sgd != nullptr ? "sgd" : "adamw");
  add("SgdOptions::momentum", sgd != nullptr ? sgd->momentum : -1);
  add("SgdOptions::nesterov", sgd != nullptr && sgd->nesterov);
  add("SgdOptions::weight_decay", sgd != nullptr ? sgd->weight_decay : -1);
  add("AdamWOptions::beta1", adamw != nullptr ? adamw->beta1 : -1);
  add("AdamWOptions::beta2", adamw != nullptr ? adamw->beta2 : -1);
  add("AdamWOptions::weight_decay", adamw != nullptr ? adamw->weight_decay : -1);
  add("OptimizerOptions::decay_norms_and_biases", fit.optimizer.decay_norms_and_biases);
  add("OptimizerOptions::groups", fit.optimizer.groups.size());
  add("AverageOptions::decay", fit.average.decay);
  add("LossOptions::label_smoothing", fit.loss.label_smoothing);
  add("LossOptions::class_weights", fit.loss.class_weights.size());
  const ScheduleOptions& schedule = fit.schedule;
  add("ScheduleOptions::kind", static_cast<int>(schedule.kind));
  add("ScheduleOptions::warmup_epochs", schedule.warmup_epochs);
  add("ScheduleOptions::start", schedule.start);
  add("ScheduleOptions::final", schedule.final);
  add("ScheduleOptions::peak", schedule.peak);
  add("ScheduleOptions::power", schedule.power);
  add("ScheduleOptions::gamma", schedule.gamma);
  add("ScheduleOptions::every_epochs", schedule.every_epochs);
  add("ScheduleOptions::low_momentum", schedule.low_momentum.value_or(-1));
  add("EngineOptions::device", fit.engine.device);
  add("EngineOptions::threads", fit.engine.threads);
  add("EngineOptions::isa", fit.engine.isa);
  add("EngineOptions::precision", static_cast<int>(fit.engine.precision));
  add("EngineOptions::memory", fit.engine.memory);
  add("CheckpointOptions::every_steps", checkpoints.every_steps);
  add("CheckpointOptions::every_seconds", checkpoints.every_seconds);
  add("CheckpointOptions::keep", checkpoints.keep);
  return facts;
}

// Options, and what they say to the library: this and nothing else.
struct Told {
  Given given;
  std::map<std::string, std::string> facts;
  Given beside = {};  // without which they say nothing
};

std::vector<Told> told_by_each() {
  const Given adamw = {{"optimizer", "adamw"}};
  return {
      {{{"epochs", "3"}}, {{"FitOptions::epochs", "3"}}},
      {{{"batch-size", "7"}}, {{"FitOptions::batch_size", "7"}}},
      {{{"lr", "0.5"}}, {{"FitOptions::lr", "0.5"}}},
      {{{"seed", "5"}}, {{"FitOptions::seed", "5"}}},
      {{{"steps", "9"}}, {{"FitOptions::steps", "9"}}},
      {{{"steps", "9,3:8"}}, {{"FitOptions::steps", "9"}, {"FitOptions::step_changes", "1"}}},
      {{{"time", "90s"}}, {{"FitOptions::seconds", "90"}}},
      {{{"tta", "flip"}}, {{"FitOptions::views", "1"}}},
      {{{"accumulate", "4"}}, {{"FitOptions::accumulate", "4"}}},
      {{{"clip-norm", "2"}}, {{"FitOptions::clip_norm", "2"}}},
      {{{"sampler", "balanced"}}, {{"FitOptions::balanced", "true"}}},
      {{{"on-nan", "skip"}}, {{"FitOptions::on_nan", std::to_string(static_cast<int>(OnNan::skip))}}},
      {{{"on-nan", "rollback"}}, {{"FitOptions::on_nan", std::to_string(static_cast<int>(OnNan::rollback))}}},
      {{{"patience", "6"}}, {{"FitOptions::patience", "6"}}},
      {{{"drop-last", "yes"}}, {{"FitOptions::drop_last", "true"}}},
      {{{"loader-threads", "3"}}, {{"FitOptions::loader_threads", "3"}}},
      {{{"augment", "crop,flip"}}, {{"FitOptions::augment", "2"}}},
      {{{"jitter", "0.4"}}, {{"FitOptions::augment", "1"}}},
      {{{"erasing", "0.4"}}, {{"FitOptions::augment", "1"}}},
      {{{"cutout", "2"}}, {{"FitOptions::augment", "1"}}},
      {{{"mixup", "0.2"}}, {{"FitOptions::augment", "1"}}},
      {{{"cutmix", "1"}}, {{"FitOptions::augment", "1"}}},
      {adamw,
       {{"FitOptions::optimizer", "adamw"},
        {"SgdOptions::momentum", "-1"},
        {"SgdOptions::weight_decay", "-1"},
        {"AdamWOptions::beta1", "0.9"},
        {"AdamWOptions::beta2", "0.999"},
        {"AdamWOptions::weight_decay", "0.01"}}},
      {{{"momentum", "0.7"}}, {{"SgdOptions::momentum", "0.7"}}},
      {{{"nesterov", "yes"}}, {{"SgdOptions::nesterov", "true"}}, {{"momentum", "0.9"}}},
      {{{"weight-decay", "0.2"}}, {{"SgdOptions::weight_decay", "0.2"}}},
      {{{"beta1", "0.8"}}, {{"AdamWOptions::beta1", "0.8"}}, adamw},
      {{{"beta2", "0.7"}}, {{"AdamWOptions::beta2", "0.7"}}, adamw},
      {{{"weight-decay", "0.2"}}, {{"AdamWOptions::weight_decay", "0.2"}}, adamw},
      {{{"decay-all", "no"}}, {{"OptimizerOptions::decay_norms_and_biases", "false"}}},
      {{{"freeze", "conv1"}}, {{"OptimizerOptions::groups", "1"}}},
      {{{"lr-head", "2"}}, {{"OptimizerOptions::groups", "2"}}},
      {{{"lr-parts", "fc=2"}}, {{"OptimizerOptions::groups", "2"}}},
      {{{"lr-norm-bias", "2"}}, {{"OptimizerOptions::groups", "6"}}},
      {{{"whiten", "yes"}}, {{"OptimizerOptions::groups", "1"}}},
      {{{"ema", "0.5"}}, {{"AverageOptions::decay", "0.5"}}},
      {{{"label-smoothing", "0.1"}}, {{"LossOptions::label_smoothing", "0.1"}}},
      {{{"class-weights", "auto"}}, {{"LossOptions::class_weights", "3"}}},
      {{{"schedule", "cosine"}}, {{"ScheduleOptions::kind", "2"}}},
      {{{"warmup", "0.5"}}, {{"ScheduleOptions::warmup_epochs", "0.5"}}},
      {{{"lr-start", "0.5"}}, {{"ScheduleOptions::start", "0.5"}}},
      {{{"lr-final", "0.5"}}, {{"ScheduleOptions::final", "0.5"}}},
      {{{"lr-peak", "0.5"}}, {{"ScheduleOptions::peak", "0.5"}}},
      {{{"lr-power", "0.5"}}, {{"ScheduleOptions::power", "0.5"}}},
      {{{"lr-gamma", "0.5"}}, {{"ScheduleOptions::gamma", "0.5"}}},
      {{{"lr-every", "5"}}, {{"ScheduleOptions::every_epochs", "5"}}},
      {{{"low-momentum", "0.5"}}, {{"ScheduleOptions::low_momentum", "0.5"}}},
      {{{"device", "cpu"}}, {{"EngineOptions::device", "cpu"}}},
      {{{"threads", "3"}}, {{"EngineOptions::threads", "3"}}},
      {{{"isa", "avx2"}}, {{"EngineOptions::isa", "avx2"}}},
      {{{"precision", "bf16"}}, {{"EngineOptions::precision", "1"}}},
      {{{"memory", "1G"}}, {{"EngineOptions::memory", "1073741824"}}},
      {{{"checkpoint-every", "200"}},
       {{"CheckpointOptions::every_steps", "200"}, {"CheckpointOptions::every_seconds", "0"}}},
      {{{"checkpoint-every", "20s"}}, {{"CheckpointOptions::every_seconds", "20"}}},
      {{{"keep", "7"}}, {{"CheckpointOptions::keep", "7"}}},
  };
}

TEST(FitOptionsOf, AreWhatEachOptionSaysAndNothingElse) {
  for (const Told& row : told_by_each()) {
    const Settings base = with(row.beside);
    std::map<std::string, std::string> expected = told(base);
    for (const auto& [field, text] : row.facts) {
      EXPECT_NE(expected.at(field), text) << field << ": the text of the test is its default";
      expected[field] = text;
    }
    EXPECT_EQ(told(with(row.given, base)), expected) << row.given[0].first << ' ' << row.given[0].second;
  }
}

TEST(FitOptionsOf, AreTestedForEveryOptionThatHasOne) {
  const std::map<std::string, std::string> facts = told({});
  const std::vector<Told> rows = told_by_each();
  for (const Option& o : options()) {
    for (const std::string& field : o.fields) {
      if (!facts.contains(field)) continue;
      EXPECT_TRUE(std::ranges::any_of(
          rows, [&](const Told& row) { return row.given[0].first == o.name && row.facts.contains(field); }))
          << o.name << " and " << field;
    }
  }
}

TEST(Initialise, MakesTheWeightsThatItIsTold) {
  const auto weights_of = [](const Given& given) {
    nn::Sequential net = small_network();
    initialise(net, with(given), test::counted(40), [](const std::string&) {});
    std::map<std::string, Tensor> weights;
    for (auto& [name, tensor] : state_of(net)) weights.emplace(name, std::move(tensor));
    return weights;
  };
  const std::map<std::string, Tensor> usual = weights_of({});
  const auto changed = [&](const Given& given) {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : weights_of(given)) {
      if (std::memcmp(tensor.raw(), usual.at(name).raw(), tensor.bytes()) != 0) names.push_back(name);
    }
    return names;
  };
  EXPECT_THAT(changed({}), testing::IsEmpty());
  EXPECT_THAT(changed({{"seed", "5"}}), testing::Contains("fc.weight"));
  EXPECT_THAT(changed({{"dirac", "yes"}}),
              testing::IsSupersetOf({"conv1.weight", "layer1.0.conv1.weight", "layer2.0.conv2.weight"}));
  EXPECT_THAT(changed({{"zero-gamma", "yes"}}),
              testing::ElementsAre("layer1.0.bn2.weight", "layer2.0.bn2.weight"));
  EXPECT_THAT(changed({{"whiten", "yes"}}), testing::ElementsAre("conv1.weight"));
}

}  // namespace
}  // namespace resnet::settings
