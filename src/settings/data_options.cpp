#include <fmt/core.h>

#include "data/sources.h"
#include "settings/option_table.h"

namespace resnet::settings {
namespace {

std::string to_text(const data::Resize& resize) {
  if (resize.height == 0) return "";
  return resize.width == 0 ? std::to_string(resize.height)
                           : fmt::format("{}x{}", resize.height, resize.width);
}

}  // namespace

void add_data(Table& table) {
  Option& set = table.text("data", "SET", "data set: " + data::data_source_usages(), &Settings::data);
  for (const data::DataSource& source : data::data_sources()) set.choices.push_back(source.completion());
  set.set = [](Settings& s, const std::string& t) {
    if (s.data != t) s.data_dir.clear();  // that of another data set
    s.data = t;
  };
  table
      .text("data-dir", "DIR", "folder of the data set; default $RESNET_DATA_DIR, then the system's",
            &Settings::data_dir)
      .fields = {"DatasetOptions::dir"};
  table.add({"resize",
             "N|HxW",
             "size of the images: shorter side, or exactly height x width",
             true,
             [](Settings& s, const std::string& t) { s.resize = parse_resize("resize", t); },
             [](const Settings& s) { return to_text(s.resize); },
             {"DatasetOptions::resize"}});
  table
      .real("val-split", "share of a folder's pictures to test on, 0 to 1, where it has no val/ or test/", 0,
            1, &Settings::val_split)
      .fields = {"DatasetOptions::val_split"};
  table
      .choice("on-bad-file", "WHAT", "where a folder has pictures that cannot be read: stop or skip them",
              {"stop", "skip"}, &Settings::on_bad_file)
      .fields = {"DatasetOptions::on_bad_file"};
  for (const auto& [name, member] : {std::pair("train-sha256", &Settings::train_sha256),
                                     std::pair("test-sha256", &Settings::test_sha256)}) {
    Option& hash =
        table.text(name, "HEX", "sha256 of the examples that the run used, in its config.toml", member);
    hash.flag = false;
    hash.set = [name = name, member = member](Settings& s, const std::string& t) {
      s.*member = parse_sha256(name, t);
    };
  }
  table.number("limit-train", "use the first N training examples; 0: all", 0, kMostCount,
               &Settings::limit_train);
  table.number("limit-test", "use the first N test examples; 0: all", 0, kMostCount, &Settings::limit_test);
}

}  // namespace resnet::settings
