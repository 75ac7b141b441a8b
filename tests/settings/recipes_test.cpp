// Recipes, and what the settings of training say to the library.
#include "settings/recipes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  EXPECT_EQ(group_of(sgd, "fc.weight").lr_factor, 10);
  EXPECT_EQ(group_of(sgd, "fc.bias").lr_factor, 10);
  EXPECT_EQ(group_of(sgd, "layer2.0.bn1.bias").lr_factor, 64);
  EXPECT_EQ(group_of(sgd, "layer2.0.bn1.weight").lr_factor, 1);
  const FitOptions adamw = fit_options(with({{"optimizer", "adamw"}, {"beta1", "0.8"}}), net, train);
  EXPECT_EQ(std::get<AdamWOptions>(adamw.optimizer.method).beta1, 0.8);
  EXPECT_EQ(std::get<AdamWOptions>(adamw.optimizer.method).weight_decay, AdamWOptions{}.weight_decay);
  EXPECT_TRUE(group_of(fit_options(with({{"whiten", "yes"}}), net, train), "conv1.weight").frozen);
  try {
    fit_options(with({{"freeze", "layre1"}}), net, train);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "--freeze: the network has no part 'layre1'");
    EXPECT_EQ(error.hint(), "did you mean 'layer1'?");
  }
}

TEST(FitOptionsOf, WeighClassesByTheirCounts) {
  const data::Dataset train = test::levels_of({1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 2, 2}, 3);
  const FitOptions options = fit_options(with({{"class-weights", "auto"}}), small_network(), train);
  EXPECT_THAT(options.loss.class_weights, testing::ElementsAre(6.0 / (2 * 4), 1, 6.0 / (2 * 2)));
  EXPECT_TRUE(fit_options({}, small_network(), train).loss.class_weights.empty());
}

}  // namespace
}  // namespace resnet::settings
