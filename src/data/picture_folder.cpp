// A folder of pictures as a data set: files that are decoded as they are asked for.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "data/folder.h"
#include "data/preprocess.h"
#include "data/sources.h"
#include "resnet/folder.h"
#include "resnet/images.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

class PictureFiles final : public Dataset::Source {
 public:
  PictureFiles(fs::path dir, std::vector<Picture> pictures, Counts counts, images::Draft draft)
      : dir_(std::move(dir)), pictures_(std::move(pictures)), counts_(counts), draft_(draft) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(pictures_.size()); }
  std::int32_t label(std::int64_t i) const override { return at(i).label; }
  void image(std::int64_t i, Image& out) const override { out = images::read(dir_ / at(i).path, {}, draft_); }
  std::optional<Facts> facts(std::int64_t i) const override { return at(i).facts; }
  std::optional<Counts> counts() const override { return counts_; }
  std::string name(std::int64_t i) const override { return at(i).path.string(); }

 private:
  const Picture& at(std::int64_t i) const { return pictures_[static_cast<std::size_t>(i)]; }

  fs::path dir_;
  std::vector<Picture> pictures_;
  Counts counts_;
  images::Draft draft_;
};

std::string folder_name(const fs::path& dir) {
  return "folder:" + dir.string();
}

void check_scan(const FolderScan& scan, const DatasetOptions& options) {
  const std::string dir = scan.dir.string();
  if (!scan.bad.empty() && options.on_bad_file == BadFiles::stop) {
    const BadFile& first = scan.bad.front();
    const std::size_t others = scan.bad.size() - 1;
    throw FormatError(fmt::format("{}: {} cannot be read: {}{}", dir, first.path.string(), first.why,
                                  others == 0 ? "" : fmt::format("; {} more cannot", others)),
                      "mend or delete what is named; with DatasetOptions::on_bad_file = skip it is left out");
  }
  if (scan.pictures.empty()) {
    throw FormatError(fmt::format("{}: no sub-folder with pictures{}", dir,
                                  scan.loose == 0 ? "" : fmt::format(", {} beside them", scan.loose)),
                      "it needs a sub-folder for each class, or train/ and val/ with those; MNIST's files "
                      "open as " +
                          data_source(idx).completion() + dir);
  }
  if (scan.classes.size() == 1 && !scan.has(Part::val) && !scan.has(Part::test)) {
    const std::string& only = scan.classes.front();
    throw FormatError(
        fmt::format("{}: all pictures are in one class, '{}'", dir, only),
        fmt::format("a sub-folder is a class; if {} holds the classes, give {}/{}", only, dir, only));
  }
}

// Classes that cannot be learned, because they are tested alone.
void check_trained(const FolderScan& scan) {
  if (!scan.has(Part::train)) return;
  std::vector<bool> trained(scan.classes.size());
  for (const Picture& picture : scan.pictures) {
    if (picture.part == Part::train) trained[static_cast<std::size_t>(picture.label)] = true;
  }
  const auto missing = std::find(trained.begin(), trained.end(), false);
  if (missing == trained.end()) return;
  throw FormatError(
      fmt::format("{}: class '{}' has no picture in train/", scan.dir.string(),
                  scan.classes[static_cast<std::size_t>(missing - trained.begin())]),
      "are the folders of train/ and of the test called alike? add pictures, or take the class away");
}

// One size for all pictures: of a shorter side the middle is taken, nothing is stretched.
DatasetOptions of_one_size(DatasetOptions options, const FolderScan& scan) {
  if (options.crop.height == 0 && options.resize.height > 0 && options.resize.width == 0) {
    options.crop = {options.resize.height, options.resize.height};
  }
  if (options.crop.height > 0 || options.resize.height > 0) return options;
  const Picture& first = scan.pictures.front();
  for (const Picture& picture : scan.pictures) {
    if (picture.facts.height == first.facts.height && picture.facts.width == first.facts.width) continue;
    throw ShapeError(fmt::format("{}: {} has {}x{} pixels, {} has {}x{}", scan.dir.string(),
                                 first.path.string(), first.facts.height, first.facts.width,
                                 picture.path.string(), picture.facts.height, picture.facts.width),
                     "pictures of several sizes need DatasetOptions::resize");
  }
  return options;
}

}  // namespace

TrainTest folder(const fs::path& dir, const DatasetOptions& options) {
  if (!std::isfinite(options.val_split) || options.val_split < 0 || options.val_split > 1) {
    throw ConfigError(fmt::format("DatasetOptions::val_split cannot be {}", options.val_split),
                      "give a share from 0 to 1");
  }
  FolderScan scan = scan_folder(dir, options);
  if (options.scanned) options.scanned(scan);
  check_scan(scan, options);
  check_trained(scan);
  const Preprocessing preprocessing = preprocessing_of(of_one_size(options, scan), 3);
  const Dataset::Source::Facts& first = scan.pictures.front().facts;
  const Shape example = preprocessed_shape(preprocessing, first.height, first.width);
  const Duplicates duplicates = duplicates_of(scan);
  const Dataset::Source::Counts counts{static_cast<std::int64_t>(scan.bad.size()), duplicates.pictures,
                                       duplicates.overlaps, duplicates.val_overlaps};
  const std::vector<Split> sides = split_of(scan, options.val_split, options.seed);
  const bool tests = scan.has(Part::test);  // else val/ is tested on
  std::vector<Picture> train;
  std::vector<Picture> test;
  std::vector<Picture> validation;
  for (std::size_t i = 0; i < sides.size(); ++i) {
    Picture& picture = scan.pictures[i];
    const bool watched = tests && picture.part == Part::val;
    (watched ? validation : sides[i] == Split::train ? train : test).push_back(std::move(picture));
  }
  const auto dataset = [&](std::vector<Picture>& pictures) {
    std::sort(pictures.begin(), pictures.end(), [](const Picture& a, const Picture& b) {
      return a.facts.digest != b.facts.digest ? a.facts.digest < b.facts.digest
                                              : a.path.native() < b.path.native();
    });
    return Dataset(std::make_shared<PictureFiles>(dir, std::move(pictures), counts, draft_of(preprocessing)),
                   folder_name(dir), scan.classes, preprocessing, example, options.limit);
  };
  TrainTest sets{dataset(train), dataset(test)};
  if (!validation.empty()) sets.validation = dataset(validation);
  return sets;
}

Dataset folder(Split split, const DatasetOptions& options) {
  const fs::path dir = data_folder(options, "a folder of pictures");
  TrainTest sets = folder(dir, options);
  return split == Split::train ? std::move(sets.train) : std::move(sets.test);
}

}  // namespace resnet::data
