// The table of data sets.
#include "data/sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/files.h"
#include "support/paths.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

using ::testing::HasSubstr;

// One training example of every data set.
void put_files(const ScratchFolder& folder) {
  const std::vector<std::uint8_t> zeros(3 * 32 * 32 + 2);
  folder.put("train-images-idx3-ubyte", {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7});
  folder.put("train-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 1, 0});
  folder.put("train.bin", zeros);
  for (const char k : std::string("ab")) {
    std::filesystem::create_directory(folder / std::string(1, k));
    folder.put(std::string(1, k) + "/" + k + ".ppm",
               {'P', '6', ' ', '1', ' ', '1', ' ', '2', '5', '5', '\n', 1, 2, std::uint8_t(k)});
  }
  for (const char k : std::string("12345")) {
    folder.put(std::string("data_batch_") + k + ".bin", {zeros.begin() + 1, zeros.end()});
  }
}

TEST(DataSources, OpenUnderTheNameThatTheirDataSetHas) {
  const ScratchFolder folder;
  put_files(folder);
  for (const data::DataSource& source : data::data_sources()) {
    const std::string text = source.completion() + (source.folder ? folder.path().string() : "");
    const data::Dataset by_name =
        data::open(text, data::Split::train, {.dir = source.folder ? "" : folder.path()});
    const data::Dataset by_function = source.open(data::Split::train, {.dir = folder.path()});
    EXPECT_EQ(by_name.name(), text);
    EXPECT_EQ(by_function.name(), text);
    EXPECT_EQ(by_name.size(), by_function.size());
  }
}

TEST(DataSources, HaveNamesOfTheirOwnWithoutAColonAndSayWhatTheyAre) {
  std::set<std::string_view> names;
  for (const data::DataSource& source : data::data_sources()) {
    EXPECT_TRUE(names.insert(source.name).second) << source.name;
    EXPECT_EQ(source.name.find(':'), std::string_view::npos) << source.name;
    EXPECT_FALSE(source.title.empty()) << source.name;
    EXPECT_FALSE(source.help.empty() || source.help.ends_with('.')) << source.name;
  }
}

TEST(DataSources, AreListedWhereATextNamesNone) {
  EXPECT_EQ(data::data_source_usages(), "fashion-mnist, cifar10, cifar100, idx:DIR or folder:DIR");
  const std::pair<const char*, const char*> texts[] = {
      {"", ""},
      {"imagenet", ""},
      {"cifar100:there", "did you mean cifar100? "},
      {"mnist", "did you mean fashion-mnist? "},
      {"fashionmnist", "did you mean fashion-mnist? "},
      {"idx", "did you mean idx:DIR? "},
      {"idx:", "did you mean idx:DIR? "},
      {"cifar10:", "did you mean cifar10? "},
      {"Cifar10", "did you mean cifar10? "},
      {"pictures/of:cats", ""},
  };
  for (const auto& [text, meant] : texts) {
    try {
      data::open(text, data::Split::train);
      ADD_FAILURE() << "'" << text << "' was accepted";
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.what(), "there is no data set '" + std::string(text) + "'");
      EXPECT_EQ(error.hint(), meant + ("give " + data::data_source_usages()));
    }
  }
}

TEST(Dataset, RefusesNoSource) {
  EXPECT_THROW(data::Dataset(nullptr, "none", {"a"}, {}, {1, 4, 4}), Error);
}

TEST(DataSources, AFolderInTheNameLeavesNoRoomForAnotherOne) {
  const ScratchFolder folder;
  put_files(folder);
  for (const char* name : {"idx:", "folder:"}) {
    try {
      data::open(name + folder.path().string(), data::Split::train, {.dir = "elsewhere"});
      ADD_FAILURE() << name;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr("DatasetOptions::dir is elsewhere beside a data set in"));
    }
  }
}

TEST(DataSources, TheNameOfAFolderIsItsPath) {
  const ScratchFolder folder;
  put_files(folder);
  EXPECT_EQ(data::full_name(folder.path().string()), "folder:" + folder.path().string());
  EXPECT_EQ(data::open(folder.path().string(), data::Split::train).name(),
            "folder:" + folder.path().string());
}

TEST(DataSources, AreInTheReadme) {
  const std::string readme = read_text(test::source_folder() / "README.md");
  for (const data::DataSource& source : data::data_sources()) {
    EXPECT_THAT(readme, HasSubstr(source.usage()));
  }
}

}  // namespace
}  // namespace resnet
