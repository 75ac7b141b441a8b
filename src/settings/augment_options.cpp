// Random changes of the training examples, as flags: one for each number, in the order of a list that
// data::check() takes.
#include <fmt/core.h>

#include <algorithm>
#include <span>

#include "settings/option_table.h"

namespace resnet::settings {
namespace {

struct Named {
  const char* name;
  data::Transform (*transform)(const Settings& settings);
};

bool is_bilinear(const Settings& settings) {
  return settings.augment_filter == "bilinear";
}

// What --augment knows, in the order of the list: first what says where the pixels are.
constexpr std::size_t kPlaces = 5;
constexpr Named kNamed[] = {
    {"resized-crop", [](const Settings& s) -> data::Transform { return s.resized_crop; }},
    {"crop", [](const Settings& s) -> data::Transform { return data::PaddingCrop{s.crop_padding}; }},
    {"reflect-crop",
     [](const Settings& s) -> data::Transform {
       return data::PaddingCrop{s.crop_padding, true};
     }},
    {"flip", [](const Settings&) -> data::Transform { return data::Flip{}; }},
    {"alternating-flip", [](const Settings&) -> data::Transform { return data::AlternatingFlip{}; }},
    {"rotate",
     [](const Settings& s) -> data::Transform {
       return data::Rotation{s.rotate_degrees, is_bilinear(s)};
     }},
    {"trivial", [](const Settings& s) -> data::Transform { return data::TrivialAugment{is_bilinear(s)}; }},
    {"rand",
     [](const Settings& s) -> data::Transform {
       return data::RandAugment{s.rand_operations, s.rand_magnitude, is_bilinear(s)};
     }},
};

// Options that say more about changes, and the names of --augment that have a use for them.
struct Detail {
  const char* option;
  std::vector<std::string> of;
};
const std::vector<Detail>& details() {
  static const std::vector<Detail> list = {
      {"crop-area", {"resized-crop"}}, {"crop-padding", {"crop", "reflect-crop"}},
      {"rotate-degrees", {"rotate"}},  {"rand-operations", {"rand"}},
      {"rand-magnitude", {"rand"}},    {"augment-filter", {"rotate", "trivial", "rand"}}};
  return list;
}

// The least and the most share of a picture's area, as members of `box`, which is one of Settings.
template <class Box>
void add_area(Table& table, const std::string& name, const std::string& help, Box Settings::*box) {
  table.add({name, "LO,HI", help, true,
             [=](Settings& s, const std::string& text) {
               constexpr double kLeast = 1e-6;
               const std::vector<double> shares = parse_numbers(name, text, kLeast, 1);
               if (shares.size() != 2 || shares[0] > shares[1])
                 throw ConfigError(fmt::format("--{} cannot be '{}'", name, text),
                                   "give the least and the most share of the area, e.g. 0.25,1");
               (s.*box).least_area = shares[0];
               (s.*box).most_area = shares[1];
             },
             [=](const Settings& s) {
               return shortest((s.*box).least_area) + "," + shortest((s.*box).most_area);
             }});
}

void set_augment(Settings& settings, const std::string& text) {
  std::vector<std::string> known = {"none"};
  for (const Named& entry : kNamed) known.emplace_back(entry.name);
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
  const auto add_named = [&](std::span<const Named> known) {
    for (const Named& entry : known) {
      if (std::ranges::count(names, entry.name) > 0) result.push_back(entry.transform(settings));
    }
  };
  add_named(std::span(kNamed).first(kPlaces));
  if (!settings.jitter.empty()) {
    std::vector<double> x = parse_numbers("jitter", settings.jitter, 0, 1);
    x.resize(4);
    result.emplace_back(data::ColorJitter{x[0], x[1], x[2], x[3]});
  }
  add_named(std::span(kNamed).subspan(kPlaces));
  if (settings.erasing.probability > 0) result.emplace_back(settings.erasing);
  if (settings.cutout > 0) result.emplace_back(data::Cutout{settings.cutout});
  if (settings.mixup > 0) result.emplace_back(data::MixUp{settings.mixup});
  if (settings.cutmix > 0) result.emplace_back(data::CutMix{settings.cutmix});
  return result;
}

std::vector<Idle> idle_augment_options(const Settings& settings) {
  std::vector<Idle> idle;
  const std::vector<std::string> names = split_at_commas(settings.augment);
  for (const Detail& detail : details()) {
    const auto is_there = [&](const std::string& name) { return std::ranges::count(names, name) > 0; };
    if (std::ranges::any_of(detail.of, is_there)) continue;
    const std::vector<std::string> front(detail.of.begin(), detail.of.end() - 1);
    idle.push_back({detail.option, "without --augment " + joined(front, ", ") +
                                       (front.empty() ? "" : " or ") + detail.of.back()});
  }
  if (settings.erasing.probability == 0) idle.push_back({"erasing-area", "without --erasing"});
  return idle;
}

void add_augment(Table& table) {
  std::string names = "none";
  for (const Named& entry : kNamed) names += std::string(", ") + entry.name;
  Option& augment =
      table.text("augment", "NAME,...", "random changes of training images: " + names, &Settings::augment);
  augment.set = set_augment;
  augment.choices = {"none", "crop,flip", "resized-crop,flip", "crop,flip,trivial", "crop,flip,rand"};
  add_area(table, "crop-area", "shares of a picture's area that --augment resized-crop cuts out",
           &Settings::resized_crop);
  constexpr std::int64_t kMostSide = 65535;
  table.number("crop-padding", "pixels around a picture that --augment crop and reflect-crop may cut into", 0,
               kMostSide, &Settings::crop_padding);
  constexpr double kFullTurn = 360;
  table.real("rotate-degrees", "most that --augment rotate turns a picture, to either side", 0, kFullTurn,
             &Settings::rotate_degrees);
  constexpr std::int64_t kMostOperations = 8, kMostMagnitude = 30;
  table.number("rand-operations", "operations of --augment rand on each picture", 1, kMostOperations,
               &Settings::rand_operations);
  table.number("rand-magnitude", "magnitude of these, 0 to 30", 0, kMostMagnitude, &Settings::rand_magnitude);
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
  table.real(
      "erasing", "probability of erasing a random rectangle of a training image", 0, 1,
      [](auto& s) -> auto& { return s.erasing.probability; });
  add_area(table, "erasing-area", "shares of the area that --erasing erases", &Settings::erasing);
  table.number("cutout", "erase a random square of so many pixels a side; 0: none", 0, kMostSide,
               &Settings::cutout);
  constexpr double kMostAlpha = 1000;
  table.real("mixup", "mix training images, with weights from Beta(X, X); 0: no", 0, kMostAlpha,
             &Settings::mixup);
  table.real("cutmix", "paste a box of another training image, of a share from Beta(X, X); 0: no", 0,
             kMostAlpha, &Settings::cutmix);
}

}  // namespace resnet::settings
