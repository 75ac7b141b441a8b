#include "settings/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "resnet/models.h"
#include "train/checkpoint.h"
#include "train/scripted_engine.h"

namespace resnet::settings {
namespace {

using testing::HasSubstr;

struct Texts {
  std::vector<std::string> good;  // set() takes them and get() gives them back
  std::vector<std::string> bad;   // set() refuses them
};

// Every option with texts that it takes and refuses.
const std::map<std::string, Texts>& cases() {
  static const std::map<std::string, Texts> map = {
      {"data", {{"fashion-mnist", "cifar10", "idx:some/folder"}, {}}},  // refused where it is opened
      {"data-dir", {{"", "/a folder/with spaces"}, {}}},
      {"checkpoint-every", {{"300s", "0.5s", "200", "0"}, {"", "-1", "5x", "1.5"}}},
      {"keep", {{"1", "1000"}, {"0", "1001", "x"}}},
      {"train-sha256", {{std::string(64, '7')}, {"", "7", std::string(64, 'g'), std::string(64, 'A')}}},
      {"test-sha256", {{std::string(64, 'f')}, {std::string(63, 'f'), std::string(65, 'f')}}},
      {"val-sha256", {{std::string(64, '0')}, {std::string(63, '0'), std::string(64, 'g')}}},
      {"init-sha256", {{std::string(64, '1')}, {"", std::string(63, '1'), std::string(64, 'g')}}},
      {"resize", {{"1", "96", "65535", "96x128"}, {"", "0", "-1", "96x", "x96", "1x2x3", "70000", "a"}}},
      {"val-split", {{"0", "0.1", "1"}, {"", "-0.1", "1.1", "nan", "half"}}},
      {"on-bad-file", {{"stop", "skip"}, {"", "ignore"}}},
      {"jpeg", {{"full", "draft"}, {"", "yes"}}},
      {"cache", {{"none", "memory", "disk"}, {"", "ram"}}},
      {"cache-size",
       {{"1K", "512M", "1.5G", "2T"}, {"", "G", "0G", "-1G", "4", "4GB", "1024T", "nanG", "0.0001K"}}},
      {"memory", {{"512M", "4G", "1.5T"}, {"", "4", "0G", "-1G", "4GB"}}},
      {"drop-last", {{"yes", "no"}, {"", "1", "true"}}},
      {"tensorboard", {{"yes", "no"}, {"", "1", "true"}}},
      {"resize-filter", {{"bilinear", "bicubic"}, {"", "nearest"}}},
      {"crop", {{"24x24", "96x128"}, {"", "0", "3x", "70000"}}},
      {"normalize",
       {{"none", "imagenet", "0.5/0.25", "0.4,0.5,0.6/0.2,0.2,0.3"},
        {"", "0.5", "0.5/0", "1,2/1", "a/b", "nan/1"}}},
      {"augment",
       {{"none", "flip", "crop,flip,trivial", "resized-crop,alternating-flip,rotate,rand", "reflect-crop"},
        {"", "flop", "flip,flip", "none,flip", "crop,resized-crop", "flip,"}}},
      {"crop-area", {{"0.08,1", "0.25,0.25"}, {"", "0.5", "1,0.5", "0,1", "0.1,1.5", "0.1,0.5,1", "a,b"}}},
      {"rotate-degrees", {{"0", "7.5", "360"}, {"-1", "361", "nan"}}},
      {"rand-operations", {{"1", "3"}, {"0", "9", "1.5"}}},
      {"rand-magnitude", {{"0", "30"}, {"-1", "31"}}},
      {"erasing-area", {{"0.02,0.33", "0.1,0.4"}, {"", "0.5,0.1", "0.1", "0,0.3"}}},
      {"augment-filter", {{"nearest", "bilinear"}, {"", "bicubic"}}},
      {"jitter", {{"0.4", "0.4,0.4,0.4,0.1"}, {"", "x", "0.1,0.1,0.1,0.6", "1,1,1,0.1,0"}}},
      {"erasing", {{"0", "0.25", "1"}, {"", "-0.1", "1.5", "0.1,0.2", "nan"}}},
      {"cutout", {{"0", "8"}, {"-1", "65536"}}},
      {"crop-padding", {{"0", "2"}, {"-1", "65536"}}},
      {"mixup", {{"0", "0.2"}, {"-1", "inf"}}},
      {"cutmix", {{"0", "1"}, {"-1", "x"}}},
      {"loader-threads", {{"1", "4"}, {"0", "1025"}}},
      {"limit-train", {{"0", "1", "1099511627776"}, {"", "-1", "1.5", "x", "1 ", "1099511627777"}}},
      {"limit-test", {{"0", "60000"}, {"-1", "1e3"}}},
      {"model", {models::names(), {"", "resnet19", "RESNET18"}}},
      {"blocks", {{"1", "2,2,2,2"}, {"", "2,,2", "2,", "0", "-1", "2;2", "65537"}}},
      {"channels", {{"64,128,256,512"}, {"64,x", "0,8"}}},
      {"block", {{"basic", "bottleneck"}, {"", "square"}}},
      {"strides", {{"1,2,2,2", "2"}, {"0", "1,", "x"}}},
      {"stem", {{"large", "deep", "small"}, {"medium"}}},
      {"stem-channels", {{"1", "16", "65536"}, {"", "0", "65537", "many"}}},
      {"shortcut", {{"conv", "avgpool", "none"}, {"", "pool"}}},
      {"activation", {{"pre", "post"}, {"before"}}},
      {"groups", {{"1", "32"}, {"0", "-1", "1.5"}}},
      {"width-per-group", {{"4", "128"}, {"0", "x"}}},
      {"se-reduction", {{"0", "16"}, {"-1", "65537"}}},
      {"drop-path", {{"0", "0.1", "0.95"}, {"", "1", "-0.1", "nan", "x"}}},
      {"input", {{"1x3x224x224"}, {"", "1x3x224", "1x3x224x224x1", "0x1x1x1", "axbxcxd", "1X1X1X1"}}},
      {"batch-size", {{"1", "256", "1048576"}, {"0", "1048577", "many"}}},
      {"recipe", {{"chapter", "scratch", "finetune", "fast"}, {"", "slow"}}},
      {"time", {{"90s", "0.5s"}, {"", "8", "m", "-1m", "0s", "nans", "600000m", "8 m"}}},
      {"sampler", {{"shuffled", "balanced"}, {"random"}}},
      {"accumulate", {{"1", "8"}, {"0", "-1", "1.5"}}},
      {"on-nan", {{"stop", "skip", "rollback"}, {"", "go", "STOP"}}},
      {"patience", {{"0", "5"}, {"-1"}}},
      {"optimizer", {{"sgd", "adamw"}, {"", "adam"}}},
      {"momentum", {{"0", "0.9"}, {"", "-0.1", "nan", "high"}}},
      {"nesterov", {{"yes", "no"}, {"", "true"}}},
      {"beta1", {{"0.9"}, {"1.5", "-1"}}},
      {"beta2", {{"0.999"}, {"2"}}},
      {"weight-decay", {{"", "0", "0.0005", "1e-05"}, {"-1", "inf", "x"}}},
      {"decay-all", {{"yes", "no"}, {"maybe"}}},
      {"clip-norm", {{"0", "1.5"}, {"-1", "nan"}}},
      {"freeze", {{"", "conv1,bn1,layer1"}, {}}},  // refused where the network is known
      {"lr-head", {{"1", "10"}, {"-1", "nan"}}},
      {"lr-norm-bias", {{"1", "64"}, {"-1"}}},
      {"lr-parts",
       {{"", "conv1=0.1,layer1.0=0", "fc=1e-05"},
        {"conv1", "=2", "conv1=", "conv1=x", "conv1=-1", "conv1=1,", "conv1=inf", "conv1=1 2",
         "conv1=1e10"}}},
      {"ema", {{"0", "0.999"}, {"-0.1", "1.1"}}},
      {"schedule",
       {{"constant", "step", "cosine", "one-cycle", "polynomial", "triangular"},
        {"", "linear", "one_cycle"}}},
      {"warmup", {{"0", "0.5", "5"}, {"-1", "5 epochs"}}},
      {"lr-start", {{"0.04", "0"}, {"-1"}}},
      {"lr-final", {{"0", "0.07"}, {"-1"}}},
      {"lr-peak", {{"0", "0.23", "1"}, {"1.1", "-0.1"}}},
      {"lr-power", {{"1", "0.9"}, {"-1"}}},
      {"lr-gamma", {{"0.1"}, {"-1", "nan"}}},
      {"lr-every", {{"30", "2.5"}, {"-1"}}},
      {"low-momentum", {{"", "0.85"}, {"1.5", "-1"}}},
      {"label-smoothing", {{"0", "0.1", "1"}, {"1.1", "-0.1", "nan"}}},
      {"class-weights", {{"none", "auto"}, {"", "balanced"}}},
      {"tta", {{"none", "flip", "flip-shift"}, {"", "shift"}}},
      {"init", {{"", "runs/a/model.safetensors"}, {}}},
      {"dirac", {{"yes", "no"}, {"1"}}},
      {"zero-gamma", {{"yes", "no"}, {"1"}}},
      {"whiten", {{"yes", "no"}, {"1"}}},
      {"epochs", {{"1", "10"}, {"0", "-3", "2.5"}}},
      {"steps",
       {{"0", "7", "940,310:902", "940,310:902,700:910"},
        {"-2", "940,", "940,310", "940,310:", "940,:902", "940,310:902,", "940,310:902:1", "940,-1:2", ",1:2",
         "940,310:9e2"}}},
      {"lr", {{"0", "0.05", "1", "1e-06"}, {"", "nan", "inf", "-1", "fast", "0.1x", "1e99"}}},
      {"seed", {{"0", "18446744073709551615"}, {"-1", "18446744073709551616", "0x10"}}},
      {"seeds", {{"2", "1000"}, {"", "0", "1001", "-1", "five"}}},
      {"threads", {{"1", "1024"}, {"0", "-1", "1025"}}},
      {"precision", {{"f32", "bf16", "tf32"}, {"f16", "F32", "TF32"}}},
      {"isa", {{"avx2", "avx512", "avx512_bf16"}, {"mmx", "avx"}}},
      {"device",
       {{"auto", "cpu", "cuda", "cuda:3", "cuda:sm_90"}, {"", "gpu", "cuda:", "cuda:-1", "cuda:sm_70"}}},
      {"out", {{"", "runs/here"}, {}}},
  };
  return map;
}

// What was read back as something else: found by fuzzing.
TEST(Options, ReadBackAsTheyWereGiven) {
  Settings settings;
  EXPECT_THROW(option("data").set(settings, ""), ConfigError);
  option("erasing").set(settings, "-0");
  EXPECT_EQ(option("erasing").get(settings), "0");
}

TEST(Options, EachHasItsCaseInThisTest) {
  std::vector<std::string> names, tested;
  for (const Option& o : options()) names.push_back(o.name);
  for (const auto& [name, texts] : cases()) tested.push_back(name);
  EXPECT_THAT(names, testing::UnorderedElementsAreArray(tested));
}

TEST(Options, GiveBackWhatTheyWereSetTo) {
  for (const auto& [name, texts] : cases()) {
    for (const std::string& text : texts.good) {
      Settings settings;
      ASSERT_NO_THROW(option(name).set(settings, text)) << name << ' ' << text;
      EXPECT_EQ(option(name).get(settings), text) << name;
    }
  }
}

TEST(Options, ScheduleAlsoTakesTheNamesOfPyTorchUsers) {
  for (const auto& [text, name] : {std::pair("onecycle", "one-cycle"), {"poly", "polynomial"}}) {
    Settings settings;
    option("schedule").set(settings, text);
    EXPECT_EQ(option("schedule").get(settings), name);
  }
}

TEST(Options, ChangeNoOtherSetting) {
  const Settings defaults;
  for (const auto& [name, texts] : cases()) {
    Settings settings;
    option(name).set(settings, texts.good.back());
    for (const Option& other : options()) {
      if (other.name != name) {
        EXPECT_EQ(other.get(settings), other.get(defaults)) << name << ' ' << other.name;
      }
    }
  }
}

TEST(Options, RefuseWhatTheyCannotTakeAndSayWhatTheyTake) {
  for (const auto& [name, texts] : cases()) {
    for (const std::string& text : texts.bad) {
      Settings settings;
      const std::string before = option(name).get(settings);
      try {
        option(name).set(settings, text);
        ADD_FAILURE() << "--" << name << " took '" << text << "'";
      } catch (const ConfigError& error) {
        EXPECT_EQ(error.what(), "--" + name + " cannot be '" + text + "'");
        EXPECT_THAT(error.hint(), testing::StartsWith("give ")) << name;
      }
      EXPECT_EQ(option(name).get(settings), before) << name << " is left as it was";
    }
  }
}

TEST(Options, TakeAllTheirChoices) {
  for (const Option& o : options()) {
    for (const std::string& choice : o.choices) {
      Settings settings;
      EXPECT_NO_THROW(o.set(settings, choice)) << o.name << ' ' << choice;
    }
  }
}

TEST(Options, HaveHelpInOneStyle) {
  for (const Option& o : options()) {
    EXPECT_FALSE(o.help.empty()) << o.name;
    EXPECT_FALSE(o.help.ends_with('.')) << o.name;
    // A flag without a value is still yes or no in config.toml.
    const bool yes_or_no = o.choices == std::vector<std::string>{"yes", "no"};
    EXPECT_TRUE(!o.placeholder.empty() || yes_or_no) << o.name;
    for (const Option& other : options()) {
      EXPECT_TRUE(&o == &other || o.name != other.name) << o.name;
    }
  }
}

TEST(Options, AnswerANameThatIsNoneWithAnError) {
  EXPECT_THROW(option("epoch"), ConfigError);
}

TEST(Options, ANearMissIsNamed) {
  Settings settings;
  try {
    option("model").set(settings, "resnet_18");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.hint(), HasSubstr("did you mean resnet18?"));
  }
}

TEST(InFlags, PutsFlagsInThePlaceOfFields) {
  EXPECT_EQ(in_flags("FitOptions::epochs must be at least 1"), "--epochs must be at least 1");
  EXPECT_EQ(in_flags("give ResNetOptions::blocks, or ResNetOptions::channels"),
            "give --blocks, or --channels");
  EXPECT_EQ(in_flags("EngineOptions::precision: f32 or bf16"), "--precision: f32 or bf16");
}

TEST(InFlags, LeavesOtherTextsAlone) {
  for (const char* text : {"", "no field", "FitOptions::epochs_left", "FitOptions::", "Options::lr_x"}) {
    EXPECT_EQ(in_flags(text), text);
  }
}

// An error of the library reaches the user in the program's words.
TEST(InFlags, KnowsTheFieldsThatTheLibraryNames) {
  const auto message = [](const models::ResNetOptions& options) -> std::string {
    try {
      models::resnet18(options);
    } catch (const ConfigError& error) {
      return in_flags(std::string(error.what()) + "; " + error.hint());
    }
    return "";
  };
  EXPECT_EQ(message({.channels = {1, 1, 1, 1, 1}}),
            "resnet18: 5 stages by --channels, and no --blocks for them; give --blocks with as many numbers");
  try {
    check(EngineOptions{.threads = -1});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(in_flags(error.what()), "--threads cannot be negative");
  }
}

// What a resumed run refuses is called by its flag where it has one.
TEST(InFlags, KnowsTheFactsOfARun) {
  nn::Sequential net = test::tiny_network();
  nn::init(net, net.scheme(), 0);
  const data::Dataset set = test::counted(4);
  const Network network = network_of(net, Shape{4, 1, 4, 4});
  const test::ScriptedEngine engine(network, std::make_shared<test::EngineLog>());
  FitOptions adamw;
  adamw.optimizer.method = AdamWOptions{};
  for (const FitOptions& options : {FitOptions{}, adamw}) {
    for (const auto& [name, value] : train::facts_of(options, network, engine, set, set))
      EXPECT_THAT(in_flags(name), testing::Not(HasSubstr("::")));
  }
}

}  // namespace
}  // namespace resnet::settings
