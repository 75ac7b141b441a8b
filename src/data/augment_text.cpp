// An Augmentation's bounds, and its text.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/json.h"
#include "resnet/augment.h"
#include "resnet/error.h"

namespace resnet::data {
namespace {

constexpr int kVersion = 1;
constexpr std::size_t kMostTransforms = 32;
constexpr double kMostSide = 65535, kMostFactor = 1e6;

enum class Group : std::uint8_t { crop, bytes, input, batch };

// A name and a group for each alternative of Transform, in its order.
struct Kind {
  const char* name;
  Group group;
};
constexpr std::array<Kind, std::variant_size_v<Transform>> kKinds = {{{"resized_crop", Group::crop},
                                                                      {"padding_crop", Group::crop},
                                                                      {"flip", Group::bytes},
                                                                      {"alternating_flip", Group::bytes},
                                                                      {"color_jitter", Group::bytes},
                                                                      {"rotation", Group::bytes},
                                                                      {"rand_augment", Group::bytes},
                                                                      {"trivial_augment", Group::bytes},
                                                                      {"random_erasing", Group::input},
                                                                      {"cutout", Group::input},
                                                                      {"mixup", Group::batch},
                                                                      {"cutmix", Group::batch}}};

// Came later: it is written where it is set, so that programs of before read all else.
constexpr const char* kBilinear = "bilinear";

// Calls visit(name, member, least, most) for each option of a transform.
template <class T, class Visit>
void each_option(T& t, const Visit& visit) {
  using Plain = std::remove_const_t<T>;
  constexpr double kLeast = 1e-6;  // of what must be above 0
  if constexpr (std::is_same_v<Plain, RandomResizedCrop> || std::is_same_v<Plain, RandomErasing>) {
    visit("least_area", t.least_area, kLeast, 1.0);
    visit("most_area", t.most_area, t.least_area, 1.0);
    visit("least_ratio", t.least_ratio, kLeast, kMostFactor);
    visit("most_ratio", t.most_ratio, t.least_ratio, kMostFactor);
  }
  if constexpr (std::is_same_v<Plain, Flip> || std::is_same_v<Plain, RandomErasing>) {
    visit("probability", t.probability, 0.0, 1.0);
  }
  if constexpr (std::is_same_v<Plain, PaddingCrop>) {
    visit("padding", t.padding, 0.0, kMostSide);
    visit("reflect", t.reflect, 0.0, 1.0);
  }
  if constexpr (std::is_same_v<Plain, ColorJitter>) {
    visit("brightness", t.brightness, 0.0, kMostFactor);
    visit("contrast", t.contrast, 0.0, kMostFactor);
    visit("saturation", t.saturation, 0.0, kMostFactor);
    visit("hue", t.hue, 0.0, 0.5);
  }
  if constexpr (std::is_same_v<Plain, Rotation>) visit("degrees", t.degrees, 0.0, 360.0);
  if constexpr (std::is_same_v<Plain, RandAugment>) {
    visit("operations", t.operations, 1.0, 8.0);
    visit("magnitude", t.magnitude, 0.0, 30.0);
  }
  if constexpr (requires { t.bilinear; }) visit(kBilinear, t.bilinear, 0.0, 1.0);
  if constexpr (std::is_same_v<Plain, Cutout>) visit("side", t.side, 1.0, kMostSide);
  if constexpr (std::is_same_v<Plain, MixUp> || std::is_same_v<Plain, CutMix>) {
    visit("alpha", t.alpha, kLeast, kMostFactor);
  }
}

template <std::size_t I = 0>
Transform transform_called(const std::string& name) {
  if constexpr (I == kKinds.size()) {
    throw FormatError("augmentation: there is no transform '" + name + "'");
  } else {
    if (name == kKinds[I].name) return Transform(std::in_place_index<I>);
    return transform_called<I + 1>(name);
  }
}

template <class T>
void set(T& member, const Json& value, const std::string& what) {
  if constexpr (std::is_same_v<T, double>) {
    if (value.is_whole() || value.is_float()) {
      member = value.number();
      return;
    }
  } else if (value.is_whole() && std::in_range<std::int32_t>(value.whole())) {
    member = static_cast<T>(value.whole());
    return;
  }
  throw FormatError("augmentation: " + what + " is " + value.dump());
}

}  // namespace

void check(const Augmentation& augmentation) {
  if (augmentation.size() > kMostTransforms) throw ConfigError("an augmentation has at most 32 transforms");
  Group before = Group::crop;
  for (std::size_t i = 0; i < augmentation.size(); ++i) {
    const Kind& kind = kKinds[augmentation[i].index()];
    const bool twice = i > 0 && kind.group == before && kind.group == Group::crop;
    const auto is_same = [&](const Transform& t) { return t.index() == augmentation[i].index(); };
    const bool again =
        kind.group == Group::batch && std::ranges::any_of(std::span(augmentation).first(i), is_same);
    if (kind.group < before || twice || again || (i > 0 && kind.group == Group::crop)) {
      throw ConfigError(
          "augmentation: '" + std::string(kind.name) + "' cannot stand at place " + std::to_string(i + 1),
          "a crop comes first, erasing behind what changes pictures, mixing at the end, each once");
    }
    before = kind.group;
    std::visit(
        [&](const auto& transform) {
          each_option(transform, [&](const char* name, const auto& value, double least, double most) {
            const auto number = static_cast<double>(value);
            if (number >= least && number <= most) return;
            throw ConfigError(
                "augmentation: " + std::string(name) + " of '" + kind.name + "' is " + Json(number).dump(),
                "give " + Json(least).dump() + " to " + Json(most).dump());
          });
        },
        augmentation[i]);
  }
}

std::string to_json(const Augmentation& augmentation) {
  Json list = Json::list();
  for (const Transform& transform : augmentation) {
    Json object = Json::object({{"name", kKinds[transform.index()].name}});
    std::visit(
        [&](const auto& t) {
          each_option(t, [&](const char* name, const auto& value, double, double) {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) {
              if (value || std::string_view(name) != kBilinear) object.add(name, value ? 1 : 0);
            } else {
              object.add(name, value);
            }
          });
        },
        transform);
    list.push_back(std::move(object));
  }
  return Json::object({{"version", kVersion}, {"transforms", std::move(list)}}).dump();
}

Augmentation augmentation_from_json(const std::string& text) {
  const Json object = parse_json(text, {.bytes = 1 << 14});
  const Json* version = object.is_object() ? object.find("version") : nullptr;
  const Json* list = object.is_object() ? object.find("transforms") : nullptr;
  if (version == nullptr || list == nullptr || object.size() != 2 || !list->is_list()) {
    throw FormatError("augmentation: 'version' and 'transforms' were expected");
  }
  if (!version->is_whole() || version->whole() != kVersion) {
    throw FormatError("augmentation: version " + version->dump() + " is not known");
  }
  Augmentation result;
  for (const Json& entry : list->elements()) {
    const Json* name = entry.is_object() ? entry.find("name") : nullptr;
    if (name == nullptr || !name->is_text()) throw FormatError("augmentation: a transform without a name");
    Transform transform = transform_called(name->text());
    std::size_t known = 1;
    std::visit(
        [&](auto& t) {
          each_option(t, [&](const char* option, auto& member, double, double) {
            const Json* value = entry.find(option);
            if (value == nullptr) return;  // its default
            ++known;
            set(member, *value, "'" + std::string(option) + "' of '" + name->text() + "'");
          });
        },
        transform);
    if (known != entry.size()) {
      throw FormatError("augmentation: '" + name->text() + "' has an option that is not known");
    }
    result.push_back(transform);
  }
  try {
    check(result);
  } catch (const ConfigError& error) {
    throw FormatError(error.what(), error.hint());
  }
  return result;
}

}  // namespace resnet::data
