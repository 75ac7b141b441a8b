// Random changes of the training examples, as flags: one for each number, in the order of a list that
// data::check() takes.
#include <fmt/core.h>

#include <algorithm>

#include "settings/option_table.h"

namespace resnet::settings {
namespace {

struct Named {
  const char* name;
  data::Transform transform;
};

// What --augment knows, in the order of the list.
const std::vector<Named>& named() {
  static const std::vector<Named> list = {{"resized-crop", data::RandomResizedCrop{}},
                                          {"crop", data::PaddingCrop{}},
                                          {"reflect-crop", data::PaddingCrop{.reflect = true}},
                                          {"flip", data::Flip{}},
                                          {"alternating-flip", data::AlternatingFlip{}},
                                          {"rotate", data::Rotation{}},
                                          {"trivial", data::TrivialAugment{}},
                                          {"rand", data::RandAugment{}}};
  return list;
}

void set_augment(Settings& settings, const std::string& text) {
  std::vector<std::string> known = {"none"};
  for (const Named& entry : named()) known.emplace_back(entry.name);
  const std::vector<std::string> names = split_at_commas(text);
  for (const std::string& name : names) {
    if (std::ranges::count(known, name) > 0) continue;
    throw ConfigError("--augment cannot be '" + text + "'", "give names out of " + joined(known, ", "));
  }
  const auto has = [&](const char* name) { return std::ranges::count(names, name); };
  const bool twice =
      std::ranges::any_of(known, [&](const std::string& name) { return has(name.c_str()) > 1; });
  if (twice || (has("none") > 0 && names.size() > 1) ||
      has("resized-crop") + has("crop") + has("reflect-crop") > 1) {
    throw ConfigError("--augment cannot be '" + text + "'",
                      "give each name once, one crop at most, none alone");
  }
  settings.augment = text;
}

}  // namespace

data::Augmentation augmentation(const Settings& settings) {
  data::Augmentation result;
  const std::vector<std::string> names = split_at_commas(settings.augment);
  const auto add_named = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (std::ranges::count(names, named()[i].name) == 0) continue;
      result.push_back(named()[i].transform);
      const auto set_options = [&](auto& transform) {
        if constexpr (requires { transform.bilinear; })
          transform.bilinear = settings.augment_filter == "bilinear";
        if constexpr (requires { transform.padding; }) transform.padding = settings.crop_padding;
      };
      std::visit(set_options, result.back());
    }
  };
  constexpr std::size_t kGeometry = 5;  // crops and flips
  add_named(0, kGeometry);
  if (!settings.jitter.empty()) {
    std::vector<double> x = parse_numbers("jitter", settings.jitter, 0, 1);
    x.resize(4);
    result.emplace_back(data::ColorJitter{x[0], x[1], x[2], x[3]});
  }
  add_named(kGeometry, named().size());
  if (settings.erasing > 0) result.emplace_back(data::RandomErasing{.probability = settings.erasing});
  if (settings.cutout > 0) result.emplace_back(data::Cutout{settings.cutout});
  if (settings.mixup > 0) result.emplace_back(data::MixUp{settings.mixup});
  if (settings.cutmix > 0) result.emplace_back(data::CutMix{settings.cutmix});
  return result;
}

void add_augment(Table& table) {
  std::string names = "none";
  for (const Named& entry : named()) names += std::string(", ") + entry.name;
  Option& augment =
      table.text("augment", "NAME,...", "random changes of training images: " + names, &Settings::augment);
  augment.set = set_augment;
  augment.choices = {"none", "crop,flip", "resized-crop,flip", "crop,flip,trivial", "crop,flip,rand"};
  constexpr std::int64_t kMostSide = 65535;
  table.number("crop-padding", "pixels around a picture that --augment crop and reflect-crop may cut into", 0,
               kMostSide, &Settings::crop_padding);
  table.choice("augment-filter", "KIND",
               "of rotate, trivial and rand, where they move pixels: nearest or bilinear, as Pillow's",
               {"nearest", "bilinear"}, &Settings::augment_filter);
  table.add(
      {"jitter", "B,C,S,H",
       "random brightness, contrast, saturation and hue, each changed by at most so much (hue 0.5)", true,
       [](Settings& s, const std::string& t) {
         const std::vector<double> x = parse_numbers("jitter", t, 0, 1);
         if (x.size() > 4 || (x.size() == 4 && x[3] > 0.5)) {
           throw ConfigError("--jitter cannot be '" + t + "'", "give up to 4 numbers, e.g. 0.4,0.4,0.4,0.1");
         }
         s.jitter = t;
       },
       [](const Settings& s) { return s.jitter; }});
  table.real("erasing", "probability of erasing a random rectangle of a training image", 0, 1,
             &Settings::erasing);
  table.number("cutout", "erase a random square of so many pixels a side; 0: none", 0, kMostSide,
               &Settings::cutout);
  constexpr double kMostAlpha = 1000;
  table.real("mixup", "mix training images, with weights from Beta(X, X); 0: no", 0, kMostAlpha,
             &Settings::mixup);
  table.real("cutmix", "paste a box of another training image, of a share from Beta(X, X); 0: no", 0,
             kMostAlpha, &Settings::cutmix);
  table
      .threads("loader-threads",
               "threads that read and change pictures beside the network; default: a quarter of --threads "
               "in training, else as many, at most 8",
               &Settings::loader_threads)
      .fields = {"FitOptions::loader_threads", "PredictOptions::threads"};
}

}  // namespace resnet::settings
