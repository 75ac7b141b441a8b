#include "settings/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/toml.h"
#include "settings/options.h"
#include "settings/values.h"
#include "support/scratch_folder.h"

namespace resnet::settings {
namespace {

using testing::HasSubstr;

// The error of reading `text`, "what | hint".
std::string error_of(const std::string& text) {
  try {
    from_toml(text, "run/config.toml");
  } catch (const FormatError& error) {
    return std::string(error.what()) + " | " + error.hint();
  }
  return "";
}

std::string values(const Settings& settings) {
  std::string result;
  for (const Option& o : options()) result += o.name + "=" + o.get(settings) + "\n";
  return result;
}

// Pictures of one pixel with these labels.
data::Dataset pictures_of(std::vector<std::int32_t> labels, std::size_t classes, std::uint8_t level = 0) {
  class Pixels final : public data::Dataset::Source {
   public:
    Pixels(std::vector<std::int32_t> labels, std::uint8_t level)
        : labels_(std::move(labels)), level_(level) {}
    std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
    std::int32_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
    void image(std::int64_t, data::Image& out) const override { out = {1, 1, 1, {level_}}; }

   private:
    std::vector<std::int32_t> labels_;
    std::uint8_t level_;
  };
  std::vector<std::string> names;
  for (std::size_t k = 0; k < classes; ++k) names.push_back(std::to_string(k));
  return {std::make_shared<Pixels>(std::move(labels), level), "levels", names, {}, Shape{1, 1, 1}};
}

TEST(Toml, GivesBackTheSettingsThatItWasWrittenFrom) {
  Settings settings;
  for (const auto& [name, text] :
       std::vector<std::pair<std::string, std::string>>{{"data", "idx:a \"quoted\" \\ folder"},
                                                        {"init", "it's a \"quoted\" \\ file"},
                                                        {"resize", "64x48"},
                                                        {"limit-train", "100"},
                                                        {"model", "resnet50"},
                                                        {"blocks", "1,2"},
                                                        {"channels", "8,16"},
                                                        {"block", "basic"},
                                                        {"strides", "2,2"},
                                                        {"stem", "small"},
                                                        {"stem-channels", "24"},
                                                        {"shortcut", "avgpool"},
                                                        {"activation", "pre"},
                                                        {"groups", "4"},
                                                        {"width-per-group", "16"},
                                                        {"se-reduction", "8"},
                                                        {"drop-path", "0.25"},
                                                        {"input", "2x3x32x32"},
                                                        {"batch-size", "7"},
                                                        {"epochs", "3"},
                                                        {"lr", "0.1"},
                                                        {"seed", "18446744073709551615"},
                                                        {"threads", "3"},
                                                        {"precision", "bf16"},
                                                        {"isa", "avx2"},
                                                        {"device", "cpu"},
                                                        {"out", "ü/'x'"},
                                                        {"steps", "11"},
                                                        {"limit-test", "9"},
                                                        {"data-dir", "tab\there"}}) {
    option(name).set(settings, text);
  }
  EXPECT_EQ(values(from_toml(to_toml(settings), "config.toml")), values(settings));
  EXPECT_EQ(values(from_toml(to_toml({}), "config.toml")), values({}));
}

TEST(Toml, HoldsSettingsOfAnyLengthThatCanBeReadAgain) {
  std::string names = "layer1.0.conv1.weight";
  for (int i = 0; i < 500; ++i) names += ",layer1.0.conv1.weight";
  Settings settings;
  option("freeze").set(settings, names);
  EXPECT_EQ(values(from_toml(to_toml(settings), "config.toml")), values(settings));
  for (int i = 0; i < 3; ++i) names += "," + names;
  option("freeze").set(settings, names);
  EXPECT_THROW(to_toml(settings), ConfigError) << "a run that nothing could resume";
}

TEST(Toml, IsCompleteButForWhatIsUnset) {
  const Settings settings;
  const std::string text = to_toml(settings);
  for (const Option& o : options()) {
    const std::string value = o.get(settings);
    if (value.empty()) {
      EXPECT_THAT(text, testing::Not(HasSubstr("\n" + o.name + " = "))) << o.name;
    } else {
      EXPECT_THAT(text, HasSubstr("\n" + o.name + " = " + (o.text ? toml_quoted(value) : value) + "\n"));
    }
  }
}

TEST(Toml, NamesAnUnknownOptionAndWhatWasMeant) {
  EXPECT_EQ(error_of("epoch = 3"), "run/config.toml: there is no option 'epoch' | did you mean 'epochs'?");
  EXPECT_EQ(error_of("batchsize = 3"),
            "run/config.toml: there is no option 'batchsize' | did you mean 'batch-size'?");
  EXPECT_THAT(error_of("zzzzzzzz = 1"), HasSubstr("there is no option 'zzzzzzzz' | resnet train --help"));
}

TEST(Toml, NamesTheFileOfAValueThatCannotBe) {
  EXPECT_THAT(error_of("epochs = 0"), HasSubstr("run/config.toml: --epochs cannot be '0' | give a whole"));
  EXPECT_THAT(error_of("epochs = true"), HasSubstr("'epochs' must be a number, a text or a list of numbers"));
  EXPECT_THAT(error_of("blocks = [[1]]"),
              HasSubstr("'blocks' must be a number, a text or a list of numbers"));
  EXPECT_THAT(error_of("blocks = [1, 'a']"), HasSubstr("'blocks' must be"));
  EXPECT_THAT(error_of("blocks = []"), HasSubstr("--blocks cannot be ''"));
  EXPECT_THAT(error_of("epochs = [1, 2]"), HasSubstr("--epochs cannot be '1,2' | give a whole"));
  EXPECT_THAT(error_of("[epochs]\nx = 1"), HasSubstr("there is no table 'epochs' | a config file has name"));
  EXPECT_THAT(error_of("model = 'resnet19'"), HasSubstr("did you mean resnet1"));
}

TEST(Toml, TakesTheNetworkFromATableOfItsOwnAndListsAnywhere) {
  const Settings flat = from_toml(
      "model = 'resnet50'\nblocks = [1, 2]\nchannels = '8,16'\nse-reduction = 4\nactivation = 'post'\n"
      "drop-path = 0.1\n",
      "config.toml");
  const Settings nested = from_toml(
      "epochs = 10\n[model]\nname = 'resnet50'\nblocks = '1,2'\nchannels = [8, 16]\nse-reduction = 4\n"
      "activation = 'post'\ndrop-path = 0.1\n",
      "config.toml");
  EXPECT_EQ(values(flat), values(nested));
  EXPECT_EQ(option("blocks").get(nested), "1,2");
  EXPECT_EQ(nested.model, "resnet50");
}

TEST(Toml, TheTableOfTheNetworkHasTheNetworksOptionsAlone) {
  EXPECT_EQ(error_of("[model]\nblock = 'square'"),
            "run/config.toml: [model]: --block cannot be 'square' | give one of basic, bottleneck");
  EXPECT_THAT(error_of("[model]\nepochs = 3"), HasSubstr("[model]: there is no option 'epochs'"));
  EXPECT_THAT(error_of("[model]\nblock-s = [3]"), HasSubstr("did you mean 'block"));
  EXPECT_THAT(error_of("[model.deeper]\nblocks = 3"), HasSubstr("'deeper'"));
  EXPECT_THAT(error_of("[[model]]\nblocks = 3"), HasSubstr("'model' must be a number"));
}

TEST(Toml, NamesTheFileOfARecipeThatIsNone) {
  EXPECT_THAT(error_of("epochs = 3\nrecipe = 'soup'"),
              HasSubstr("run/config.toml: --recipe cannot be 'soup' | "));
}

TEST(Settings, HaveOneFilterForAllThatMovesPixels) {
  Settings settings;
  set_all({{"augment", "crop,rotate,trivial,rand"}}, settings);
  const auto is_bilinear = [&](std::size_t i) {
    return data::to_json(data::Augmentation{augmentation(settings)[i]}).find("\"bilinear\":1") !=
           std::string::npos;
  };
  for (std::size_t i = 0; i < 4; ++i) EXPECT_FALSE(is_bilinear(i)) << i;
  set_all({{"augment-filter", "bilinear"}}, settings);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(is_bilinear(i), i > 0) << i;
  set_all({{"augment", "reflect-crop"}, {"crop-padding", "2"}}, settings);
  EXPECT_EQ(std::get<data::PaddingCrop>(augmentation(settings)[0]).padding, 2);
}

TEST(Settings, SayTheNumbersOfEachChange) {
  Settings settings = from_toml(
      "augment = 'resized-crop,rotate,rand'\ncrop-area = [0.25, 0.75]\nrotate-degrees = 7.5\nrand-operations "
      "= 3\n"
      "rand-magnitude = 5\nerasing = 0.5\nerasing-area = '0.1,0.2'",
      "config.toml");
  const auto first = [&] { return std::get<data::RandomResizedCrop>(augmentation(settings)[0]); };
  EXPECT_EQ(first().least_area, 0.25);
  EXPECT_EQ(first().most_area, 0.75);
  EXPECT_EQ(std::get<data::Rotation>(augmentation(settings)[1]).degrees, 7.5);
  EXPECT_EQ(std::get<data::RandAugment>(augmentation(settings)[2]).operations, 3);
  EXPECT_EQ(std::get<data::RandAugment>(augmentation(settings)[2]).magnitude, 5);
  const auto erasing = std::get<data::RandomErasing>(augmentation(settings)[3]);
  EXPECT_EQ(erasing.probability, 0.5);
  EXPECT_EQ(erasing.least_area, 0.1);
  EXPECT_EQ(erasing.most_area, 0.2);
  EXPECT_NO_THROW(data::check(augmentation(settings)));

  // Those of the library where nobody says one.
  settings = {};
  set_all({{"augment", "resized-crop,rotate,rand"}, {"erasing", "0.5"}}, settings);
  EXPECT_EQ(data::to_json(augmentation(settings)),
            data::to_json(
                {data::RandomResizedCrop{}, data::Rotation{}, data::RandAugment{}, data::RandomErasing{}}));
}

TEST(Settings, KnowWhichOptionsOfChangesAreIdle) {
  const auto idle = [](const Given& given) {
    Settings settings;
    set_all(given, settings);
    std::string text;
    for (const auto& [option, why] : idle_augment_options(settings)) text += option + " " + why + "; ";
    return text;
  };
  EXPECT_EQ(
      idle({}),
      "crop-area without --augment resized-crop; crop-padding without --augment crop or reflect-crop; "
      "rotate-degrees without --augment rotate; rand-operations without --augment rand; "
      "rand-magnitude without --augment rand; augment-filter without --augment rotate, trivial or rand; "
      "erasing-area without --erasing; ");
  EXPECT_EQ(idle({{"augment", "resized-crop,trivial"}, {"erasing", "0.1"}}),
            "crop-padding without --augment crop or reflect-crop; rotate-degrees without --augment rotate; "
            "rand-operations without --augment rand; rand-magnitude without --augment rand; ");
  EXPECT_EQ(idle({{"augment", "reflect-crop,rotate,rand"}, {"erasing", "1"}}),
            "crop-area without --augment resized-crop; ");
}

TEST(Toml, NamesTheLineOfWhatIsNotToml) {
  EXPECT_THAT(error_of("epochs = 3\nlr = \n"), HasSubstr("run/config.toml:2: "));
}

TEST(Toml, TakesNumbersAsTextsToo) {
  const Settings settings = from_toml("epochs = \"3\"\nlr = 1\nseed = 5", "config.toml");
  EXPECT_EQ(settings.epochs, 3);
  EXPECT_EQ(settings.lr, 1.0F);
  EXPECT_EQ(settings.seed, 5U);
}

class Recorded : public testing::Test {
 protected:
  static data::Dataset pictures(std::uint8_t level) { return pictures_of({0, 0}, 1, level); }
  static Settings recorded_of(const std::string& toml) {
    return recorded(from_toml(toml, ""), {pictures(1), pictures(2)});
  }
  const ScopedVariable environment_{"RESNET_DATA_DIR", nullptr};
  const std::filesystem::path here_ = std::filesystem::current_path();
};

TEST_F(Recorded, HasAbsolutePaths) {
  EXPECT_EQ(recorded_of("data = 'idx:own'\nout = 'runs/a'").data, "idx:" + (here_ / "own").string());
  EXPECT_EQ(recorded_of("data = 'idx:/own'").data, "idx:/own");
  EXPECT_EQ(recorded_of("data-dir = 'photos'").data_dir, (here_ / "photos").string());
  EXPECT_EQ(recorded_of("data-dir = '.'").data_dir, (here_ / "").string())
      << "no . where it is the same place";
  EXPECT_EQ(recorded_of("out = 'runs/a'").out, (here_ / "runs/a").string());
  EXPECT_EQ(recorded_of("").data + recorded_of("").data_dir + recorded_of("").out, Settings().data);
}

TEST_F(Recorded, NamesTheFolderThatTheEnvironmentGave) {
  const ScopedVariable variable("RESNET_DATA_DIR", "photos");
  EXPECT_EQ(recorded_of("").data_dir, (here_ / "photos").string());
  EXPECT_EQ(recorded_of("data-dir = '/other'").data_dir, "/other");
  EXPECT_EQ(recorded_of("data = 'idx:/own'").data_dir, "") << "which has no say there";
}

TEST_F(Recorded, RefusesDataThatTomlCannotNameAndLeavesOutAFolderLikeThat) {
  Settings odd;
  odd.out = "odd\xff";
  EXPECT_EQ(recorded(odd, {pictures(1), pictures(2)}).out, "");
  for (std::string Settings::*member : {&Settings::data, &Settings::data_dir}) {
    Settings settings;
    settings.*member = member == &Settings::data ? "idx:odd\xff" : "odd\xff";
    EXPECT_THROW(recorded(settings, {pictures(1), pictures(2)}), ConfigError);
  }
}

TEST_F(Recorded, NamesTheWeightsThatItBeganWith) {
  Settings settings;
  settings.data = "fashion-mnist";
  settings.init = "weights.pth";
  EXPECT_EQ(with_whole_paths(settings).init, (std::filesystem::current_path() / "weights.pth").string());
}

TEST_F(Recorded, KnowsSomeOfTheExamplesByTheirContent) {
  const data::Dataset all = pictures_of({0, 1, 0}, 2);
  Settings settings;
  settings.limit_train = 2;
  settings.train_sha256 = all.first(2).content_sha256();
  EXPECT_TRUE(is_data_of(settings, data::Split::train, all)) << "as many as the run took";
  EXPECT_TRUE(is_data_of(settings, data::Split::train, all.first(2)));
  EXPECT_FALSE(is_data_of(settings, data::Split::train, pictures_of({0, 0, 0}, 2)));
  EXPECT_TRUE(is_data_of(settings, data::Split::test, all)) << "nothing is known of these";
}

TEST_F(Recorded, KnowsTheExamplesByTheirContent) {
  const Settings run = from_toml(to_toml(recorded_of("")), "config.toml");
  EXPECT_TRUE(is_data_of(run, data::Split::train, pictures(1)));
  EXPECT_FALSE(is_data_of(run, data::Split::train, pictures(2)));
  EXPECT_TRUE(is_data_of(run, data::Split::test, pictures(2)));
  EXPECT_FALSE(is_data_of(run, data::Split::test, pictures(1)));
  EXPECT_TRUE(is_data_of({}, data::Split::train, pictures(1))) << "an older config.toml does not say";
}

TEST_F(Recorded, KnowsTheValidationSet) {
  const data::TrainTest two = {pictures(1), pictures(2)}, three = {pictures(1), pictures(2), pictures(3)};
  const Settings run = from_toml(to_toml(recorded({}, three)), "config.toml");
  EXPECT_TRUE(is_data_of(run, three));
  EXPECT_FALSE(is_data_of(run, {pictures(1), pictures(2), pictures(4)}));
  EXPECT_FALSE(is_data_of(run, two)) << "val/ or test/ is gone";
  EXPECT_FALSE(is_data_of(run, {pictures(1), pictures(4), pictures(3)}));
  EXPECT_TRUE(is_data_of(recorded({}, two), two));
}

TEST(Settings, ReachTheLibraryWhole) {
  const Settings settings =
      from_toml("batch-size = 7\nepochs = 3\nsteps = 11\nlr = 0.25\nseed = 5\nthreads = 3\nisa = 'avx2'",
                "config.toml");
  const FitOptions fit = fit_options(settings, nn::Sequential(), pictures_of({0}, 1));
  EXPECT_EQ(fit.batch_size, 7);
  EXPECT_EQ(fit.epochs, 3);
  EXPECT_EQ(fit.steps, 11);
  EXPECT_EQ(fit.lr, 0.25F);
  EXPECT_EQ(fit.seed, 5U);
  EXPECT_EQ(fit.engine.threads, 3);
  EXPECT_EQ(fit.engine.isa, "avx2");
}

TEST(Settings, AreTheChaptersWhereNothingIsSaid) {
  const FitOptions chapter;
  const FitOptions fit = fit_options({}, make_model({}, 1, 10), pictures_of({0}, 1));
  EXPECT_EQ(fit.batch_size, chapter.batch_size);
  EXPECT_EQ(fit.epochs, chapter.epochs);
  EXPECT_EQ(fit.lr, chapter.lr);
  EXPECT_EQ(fit.seed, chapter.seed);
  const nn::Sequential net = make_model({}, 1, 10);
  EXPECT_EQ(net.title(), "d2l_resnet18");
  EXPECT_EQ(nn::parameter_count(net), 11'178'378);
}

TEST(Settings, SayWhereDecodedPicturesStayAndWhenCheckpointsAreWritten) {
  Settings settings;
  EXPECT_EQ(cache_options(settings).kind, data::CacheKind::none);
  set_all({{"cache", "memory"}, {"cache-size", "2G"}}, settings);
  EXPECT_EQ(cache_options(settings).kind, data::CacheKind::memory);
  EXPECT_EQ(cache_options(settings).bytes, std::int64_t{2} << 30);
  set_all({{"cache", "disk"}}, settings);
  EXPECT_EQ(cache_options(settings).kind, data::CacheKind::disk);
  settings.checkpoint_steps = 3;
  settings.checkpoint_seconds = 0;
  EXPECT_EQ(checkpoint_options(settings, "run").every_steps, 3);
  settings.checkpoint_steps = 0;
  EXPECT_EQ(checkpoint_options(settings, "run").folder, "") << "none";
  settings.checkpoint_seconds = 9;
  EXPECT_EQ(checkpoint_options(settings, "run").folder, "run/checkpoints");
  EXPECT_EQ(engine_options(settings).memory, 0);
  settings.memory = "512M";
  EXPECT_EQ(engine_options(settings).memory, std::int64_t{512} << 20);
}

TEST(Settings, OpenTheDataAsTheySay) {
  const ScratchFolder folder;
  for (const std::string split : {"train", "t10k"}) {
    folder.put(split + "-images-idx3-ubyte", {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 7, 8, 9});
    folder.put(split + "-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 1});
  }
  Settings settings;
  settings.data = "idx:" + folder.path().string();
  set_all({{"limit-train", "2"}, {"limit-test", "1"}, {"resize", "4"}}, settings);
  EXPECT_EQ(open_data(settings, data::Split::train).size(), 2);
  EXPECT_EQ(open_data(settings, data::Split::test).size(), 1);
  EXPECT_EQ(open_data(settings).test.preprocessing().filter, images::Filter::bilinear);
  set_all({{"resize-filter", "bicubic"}, {"on-bad-file", "skip"}}, settings);
  EXPECT_EQ(open_data(settings).train.preprocessing().filter, images::Filter::bicubic);
}

TEST(Settings, HaveTimesAndStepsWithinBounds) {
  EXPECT_EQ(parse_time("time", "0"), 0);
  EXPECT_EQ(parse_time("time", "1.5h"), 5400);
  for (const char* text : {"", "5", "h", "-1s", "9000h"})
    EXPECT_THROW(parse_time("time", text), ConfigError) << text;
  EXPECT_EQ(parse_steps("steps", "940,310:902").second.at(0).steps, 902);
  for (const char* text : {"9,1:-2", "9,1:1099511627777", "9,1", "9,", "9,1:2,", "x,1:2", "-1,1:2"})
    EXPECT_THROW(parse_steps("steps", text), ConfigError) << text;
}

TEST(Settings, DescribeTheNetwork) {
  const Settings settings = from_toml(
      "model = 'resnet18'\nblocks = '1,1'\nchannels = '8,16'\nblock = 'bottleneck'\nstem = 'small'", "");
  const nn::Sequential net = make_model(settings, 3, 5);
  const nn::Summary summary = nn::summary(net, {1, 3, 32, 32});
  EXPECT_EQ(summary.stages.back().output, (Shape{1, 5}));
  EXPECT_EQ(summary.stages.front().output, (Shape{1, 8, 32, 32}));
}

}  // namespace
}  // namespace resnet::settings
