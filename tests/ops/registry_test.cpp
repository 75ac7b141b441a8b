// The list of operations has all of them, and all that networks are made of can be read back from files.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "ops/operation.h"
#include "resnet/models.h"
#include "resnet/nn.h"
#include "support/paths.h"

namespace resnet {
namespace {

std::set<std::string> listed() {
  std::set<std::string> names;
  for (const ops::Kind& kind : ops::all()) names.emplace(kind.name);
  return names;
}

// Every text of a line that says kName, in the headers of the room.
std::set<std::string> declared() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test::source_folder() / "src" / "ops")) {
    std::ifstream in(entry.path());
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    static const std::regex declaration("kName\\s*=[^;]*;"), quoted("\"([^\"]+)\"");
    for (std::sregex_iterator d(text.begin(), text.end(), declaration), end; d != end; ++d) {
      const std::string found = d->str();
      for (std::sregex_iterator q(found.begin(), found.end(), quoted); q != end; ++q) names.insert((*q)[1]);
    }
  }
  return names;
}

TEST(Registry, HasEveryOperationThatTheRoomDeclares) {
  EXPECT_GT(declared().size(), 25U);
  EXPECT_EQ(declared(), listed());
}

void expect_read_back(const nn::Module& net, const Shape& images) {
  const std::string text = graph::to_json(nn::trace(net, images, Mode::eval));
  EXPECT_EQ(graph::to_json(graph::from_json(text, ops::read)), text) << net.kind();
}

TEST(Registry, ReadsBackWhatEveryModuleAdds) {
  const Shape map{2, 4, 6, 6}, row{2, 4};
  expect_read_back(nn::Conv2d{4, 6, {.stride = {1, 2}, .padding = 1, .groups = 2}}, map);
  expect_read_back(nn::BatchNorm2d{4}, map);
  expect_read_back(nn::ReLU{}, map);
  expect_read_back(nn::MaxPool2d{}, map);
  expect_read_back(nn::AvgPool2d{{.count_padding = false}}, map);
  expect_read_back(nn::GlobalAvgPool2d{}, map);
  expect_read_back(nn::Flatten{}, map);
  expect_read_back(nn::Linear{4, 3}, row);
  for (const std::string& name : models::names())
    expect_read_back(models::make(name, {.in_channels = 4}), {1, 4, 64, 64});
  const graph::Graph training = nn::trace(nn::Dropout{0.25}, row, Mode::train);
  EXPECT_EQ(graph::to_json(graph::from_json(graph::to_json(training), ops::read)), graph::to_json(training));
  const nn::PoolOptions rounded = {.count_padding = false, .ceil_mode = true};
  expect_read_back(nn::Sequential(nn::AvgPool2d{rounded}, nn::MaxPool2d{rounded}), {1, 2, 5, 7});
  const graph::Graph dropping = nn::trace(nn::DropPath{0.25}, row, Mode::train);
  EXPECT_EQ(graph::to_json(graph::from_json(graph::to_json(dropping), ops::read)), graph::to_json(dropping));
}

}  // namespace
}  // namespace resnet
