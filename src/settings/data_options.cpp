#include <fmt/core.h>

#include "data/sources.h"
#include "settings/option_table.h"

namespace resnet::settings {
namespace {

// Which examples a run uses.
void add_examples(Table& table) {
  for (const auto& [name, member] :
       {std::pair("train-sha256", &Settings::train_sha256), std::pair("test-sha256", &Settings::test_sha256),
        std::pair("val-sha256", &Settings::val_sha256)}) {
    Option& hash =
        table.text(name, "HEX", "sha256 of the examples that the run used, in its config.toml", member);
    hash.flag = false;
    hash.set = [name = name, member = member](Settings& s, const std::string& t) {
      s.*member = parse_sha256(name, t);
    };
  }
  table.number("limit-train", "use the first N training examples; 0: all", 0, kMostCount,
               &Settings::limit_train);
  table.number("limit-test", "evaluate on the first N examples; 0: all", 0, kMostCount,
               &Settings::limit_test);
}

}  // namespace

void add_data(Table& table) {
  Option& set = table.text("data", "SET", "data set: " + data::data_source_usages(), &Settings::data);
  for (const data::DataSource& source : data::data_sources()) set.choices.push_back(source.completion());
  set.set = [](Settings& s, const std::string& t) {
    if (t.empty())
      throw ConfigError("--data cannot be ''", "give a data set, as fashion-mnist or folder:DIR");
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
  table
      .choice("jpeg", "HOW",
              "full, or draft: decode JPEG at 1/2, 1/4 or 1/8 of its sides where that is no smaller than the "
              "resize, faster and with other pixels",
              {"full", "draft"}, &Settings::jpeg)
      .fields = {"DatasetOptions::jpeg_draft"};
  table
      .choice("cache", "WHERE",
              "keep decoded pictures of a folder for the next epoch in memory, or on disk for the next run: "
              "none, memory or disk",
              {"none", "memory", "disk"}, &Settings::cache)
      .fields = {"CacheOptions::kind"};
  Option& size =
      table.text("cache-size", "SIZE",
                 "most that --cache takes, e.g. 4G; default: half of the memory or disk that is free",
                 &Settings::cache_size);
  size.fields = {"CacheOptions::bytes"};
  size.set = [](Settings& s, const std::string& t) {
    parse_size("cache-size", t);
    s.cache_size = t;
  };
  table.choice("resize-filter", "KIND", "of the resize: bilinear or bicubic, both as Pillow's",
               {"bilinear", "bicubic"}, &Settings::resize_filter);
  table.add({"crop",
             "N|HxW",
             "cut NxN or HxW pixels out of the middle of the resized image",
             true,
             [](Settings& s, const std::string& t) {
               const data::Resize sides = parse_resize("crop", t);
               s.crop = {sides.height, sides.width == 0 ? sides.height : sides.width};
             },
             [](const Settings& s) {
               return s.crop.height == 0 ? "" : fmt::format("{}x{}", s.crop.height, s.crop.width);
             },
             {"DatasetOptions::crop"}});
  Option& normalize = table.text("normalize", "HOW",
                                 "none, imagenet, or MEAN,.../STD,... with one number each, or one a channel",
                                 &Settings::normalize);
  normalize.choices = {"none", "imagenet"};
  normalize.fields = {"DatasetOptions::normalization"};
  normalize.set = [](Settings& s, const std::string& t) {
    parse_normalization("normalize", t);
    s.normalize = t;
  };
  add_examples(table);
  table
      .threads("loader-threads",
               "threads that read and change pictures beside the network; default: a quarter of --threads "
               "in training, else as many, at most 8",
               &Settings::loader_threads)
      .fields = {"FitOptions::loader_threads", "PredictOptions::threads"};
}

}  // namespace resnet::settings
