// The network of the zoo that a file's tensors belong to: guessed from names and shapes, then built and
// compared.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/joined.h"
#include "base/text.h"
#include "io/safetensors.h"
#include "io/state_names.h"
#include "resnet/weights.h"

namespace resnet {
namespace {

using Shapes = std::map<std::string, Shape, std::less<>>;
using models::ResNetOptions;

// How a network's tensors are called.
enum class Naming { chapter, torchvision, preactivation };

// What names and shapes say of a network. Every option is given but strides and drop_path, which they do not
// say.
struct Outline {
  Naming naming = Naming::torchvision;
  ResNetOptions options;
};

class Guess {
 public:
  explicit Guess(const Shapes& shapes) : shapes_(shapes) {}

  std::optional<Outline> outline() {
    if (has("layer1.0.conv1.weight")) {
      naming_ = Naming::torchvision;
    } else if (has("stages.0.blocks.0.conv1.weight")) {
      naming_ = Naming::preactivation;
    } else if (has("1.0.conv1.weight")) {
      naming_ = Naming::chapter;
    } else {
      return std::nullopt;
    }
    ResNetOptions& o = outline_.options;
    outline_.naming = naming_;
    o.block = extent(block(0, 0) + "conv1.weight", 2) == 1 ? models::Block::bottleneck : models::Block::basic;
    deep_ = o.block == models::Block::bottleneck;
    guess_stem();
    guess_stages();
    guess_groups();
    guess_shortcut();
    o.preactivation = naming_ == Naming::preactivation;
    const std::string head = naming_ == Naming::torchvision     ? "fc"
                             : naming_ == Naming::preactivation ? "head.fc"
                                                                : std::to_string(o.blocks.size() + 3);
    if (const std::int64_t classes = extent(head + ".weight", 0); classes > 0) o.classes = classes;
    return outline_;
  }

 private:
  bool has(const std::string& name) const { return shapes_.contains(name); }
  // 0 where there is no such tensor or axis.
  std::int64_t extent(const std::string& name, int axis) const {
    const auto found = shapes_.find(name);
    return found == shapes_.end() || axis >= found->second.rank() ? 0 : found->second[axis];
  }
  std::string block(std::size_t stage, std::size_t i) const {
    switch (naming_) {
      case Naming::torchvision:
        return fmt::format("layer{}.{}.", stage + 1, i);
      case Naming::preactivation:
        return fmt::format("stages.{}.blocks.{}.", stage, i);
      default:
        return fmt::format("{}.{}.", stage + 1, i);
    }
  }

  void guess_stem() {
    std::string first, last;  // convolutions of a deep stem; else only `first` is there
    switch (naming_) {
      case Naming::torchvision:
        first = has("conv1.0.weight") ? "conv1.0.weight" : "conv1.weight", last = "conv1.6.weight";
        break;
      case Naming::preactivation:
        first = has("stem.conv1.weight") ? "stem.conv1.weight" : "stem.conv.weight",
        last = "stem.conv3.weight";
        break;
      default:
        first = "0.0.weight", last = "0.6.weight";
    }
    using models::Stem;
    ResNetOptions& o = outline_.options;
    o.stem = has(last) ? Stem::deep : extent(first, 2) == 3 ? Stem::small : Stem::large;
    o.stem_channels = extent(has(last) ? last : first, 0);
    o.in_channels = extent(first, 1);
  }

  void guess_stages() {
    ResNetOptions& o = outline_.options;
    for (std::size_t stage = 0; has(block(stage, 0) + "conv1.weight"); ++stage) {
      std::size_t count = 1;
      while (has(block(stage, count) + "conv1.weight")) ++count;
      o.blocks.push_back(static_cast<std::int64_t>(count));
      constexpr std::int64_t kExpansion = 4;
      o.channels.push_back(deep_ ? extent(block(stage, 0) + "conv3.weight", 0) / kExpansion
                                 : extent(block(stage, 0) + "conv1.weight", 0));
    }
  }

  void guess_groups() {
    ResNetOptions& o = outline_.options;
    constexpr std::int64_t kBaseWidth = 64;
    o.groups = 1, o.width_per_group = kBaseWidth, o.se_reduction = 0;
    if (naming_ == Naming::chapter) return;
    const std::int64_t inner = extent(block(0, 0) + "conv2.weight", 0),
                       of_group = extent(block(0, 0) + "conv2.weight", 1);
    if (deep_ && inner > 0 && of_group > 0 && o.channels[0] > 0) {
      o.groups = inner / of_group;
      o.width_per_group = of_group * kBaseWidth / o.channels[0];
    }
    // The last stage has the most channels, and so says the ratio best.
    const std::string squeeze = block(o.blocks.size() - 1, 0) + "se.fc1.weight";
    if (const std::int64_t hidden = extent(squeeze, 0); hidden > 0)
      o.se_reduction = std::max<std::int64_t>(1, extent(squeeze, 1) / hidden);
  }

  void guess_shortcut() {
    ResNetOptions& o = outline_.options;
    using nn::Shortcut;
    bool convolves = false, pools = false, changes = false;
    std::int64_t channels = *o.stem_channels;
    for (std::size_t stage = 0; stage < o.blocks.size(); ++stage) {
      const std::string first = block(stage, 0);
      const std::int64_t out = o.channels[stage] * (deep_ ? 4 : 1);
      changes = changes || stage > 0 || out != channels;
      channels = out;
      if (naming_ == Naming::chapter) {
        convolves = convolves || has(first + (deep_ ? "conv4.weight" : "conv3.weight"));
      } else if (naming_ == Naming::torchvision) {
        convolves = convolves || has(first + "downsample.0.weight");
        pools = pools || extent(first + "downsample.1.weight", 2) > 0;
      } else {
        convolves = convolves || has(first + "downsample.conv.weight");
      }
    }
    // A pre-activation network's names do not say it; timm's with a deep stem pool.
    pools = pools || (naming_ == Naming::preactivation && o.stem == models::Stem::deep);
    o.shortcut = pools ? Shortcut::avgpool : convolves || !changes ? Shortcut::conv : Shortcut::none;
  }

  const Shapes& shapes_;
  Outline outline_;
  Naming naming_ = Naming::torchvision;
  bool deep_ = false;
};

// Options of `wanted` that are not those of `own`, and how many.
struct OwnOptions {
  ResNetOptions options;
  std::string text;  // "blocks 1,1, stem small"
  int count = 0;
};

std::string text_of(models::Block block) {
  return block == models::Block::basic ? "basic" : "bottleneck";
}
std::string text_of(models::Stem stem) {
  return stem == models::Stem::large ? "large" : stem == models::Stem::small ? "small" : "deep";
}
std::string text_of(nn::Shortcut shortcut) {
  return shortcut == nn::Shortcut::conv ? "conv" : shortcut == nn::Shortcut::avgpool ? "avgpool" : "none";
}
std::string text_of(std::int64_t number) {
  return std::to_string(number);
}
std::string text_of(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (const std::int64_t number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

OwnOptions options_beside(const ResNetOptions& wanted, const ResNetOptions& own) {
  OwnOptions result;
  result.options.in_channels = wanted.in_channels;
  result.options.classes = wanted.classes;
  const auto compare = [&](auto ResNetOptions::*member, const char* name) {
    if (wanted.*member == own.*member) return;
    result.options.*member = wanted.*member;
    ++result.count;
    std::string value;
    if constexpr (requires { (wanted.*member).value(); }) {
      value = text_of((wanted.*member).value());
    } else {
      value = text_of(wanted.*member);
    }
    result.text += fmt::format("{}{} {}", result.text.empty() ? "" : ", ", name, value);
  };
  compare(&ResNetOptions::blocks, "blocks");
  compare(&ResNetOptions::channels, "channels");
  compare(&ResNetOptions::block, "block");
  compare(&ResNetOptions::stem, "stem");
  compare(&ResNetOptions::stem_channels, "stem-channels");
  compare(&ResNetOptions::shortcut, "shortcut");
  compare(&ResNetOptions::groups, "groups");
  compare(&ResNetOptions::width_per_group, "width-per-group");
  compare(&ResNetOptions::se_reduction, "se-reduction");
  return result;
}

Shapes shapes_of(const nn::Module& net) {
  Shapes shapes;
  nn::for_each_parameter(
      net, [&](const std::string& name, const nn::Parameter& parameter) { shapes[name] = parameter.shape; });
  return shapes;
}

// Every name of the zoo, its tensors, and what they say.
struct Known {
  std::string name;
  Shapes shapes;
  Outline outline;
};

const std::vector<Known>& zoo() {
  static const std::vector<Known> known = [] {
    std::vector<Known> result;
    for (const std::string& name : models::names()) {
      Shapes shapes = shapes_of(models::make(name, {}));
      std::optional<Outline> outline = Guess(shapes).outline();
      result.push_back({name, std::move(shapes), std::move(outline).value()});
    }
    return result;
  }();
  return known;
}

std::string family_of(const std::string& name) {
  if (name.starts_with("d2l_")) return "the chapter's";
  const bool is_d = name.starts_with("resnet") && name.ends_with('d');  // resnext50_32x4d is torchvision's
  return is_d || name.starts_with("se") || name.starts_with("resnetv2") ? "timm" : "torchvision";
}

std::vector<TensorDifference> differences_of(const nn::Module& net, const Weights& weights) {
  std::map<std::string_view, const Tensor*> left;
  for (const auto& [name, tensor] : weights.tensors) left[name] = &tensor;
  std::vector<TensorDifference> result;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    const auto found = left.find(name);
    const bool count = parameter.kind == nn::ParameterKind::batches_tracked;
    const std::string ours = io::described(count ? DType::i64 : DType::f32, parameter.shape);
    if (found == left.end()) {
      if (!count) result.push_back({name, "", ours});
      return;
    }
    const Tensor& tensor = *found->second;
    if (const std::string theirs = io::described(tensor.dtype(), tensor.shape()); theirs != ours && !count)
      result.push_back({name, theirs, ours});
    left.erase(found);
  });
  for (const auto& [name, tensor] : weights.tensors) {
    if (left.contains(name) && !io::is_count(name))
      result.push_back({name, io::described(tensor.dtype(), tensor.shape()), ""});
  }
  return result;
}

// The name of the zoo that has the most of these tensors; null if none has any.
const Known* nearest_of(const Shapes& shapes) {
  const Known* nearest = nullptr;
  std::size_t most = 0;
  for (const Known& known : zoo()) {
    std::size_t common = 0;
    for (const auto& [name, shape] : shapes) {
      const auto found = known.shapes.find(name);
      if (found != known.shapes.end() && found->second == shape) ++common;
    }
    if (common > most) most = common, nearest = &known;
  }
  return nearest;
}

}  // namespace

Recognition recognise(const Weights& weights) {
  Shapes shapes;
  for (const auto& [name, tensor] : weights.tensors) shapes[name] = tensor.shape();
  const std::optional<Outline> outline = Guess(shapes).outline();
  Recognition result;
  if (outline) {
    std::optional<OwnOptions> fewest;
    for (const Known& known : zoo()) {
      if (known.outline.naming != outline->naming) continue;
      OwnOptions own = options_beside(outline->options, known.outline.options);
      if (fewest && own.count >= fewest->count) continue;
      result.model = known.name;
      fewest = std::move(own);
    }
    result.options = fewest->options;
    result.own_options = fewest->text;
  } else if (const Known* nearest = nearest_of(shapes)) {
    result.model = nearest->name;
  }
  result.family = result.model.empty() ? "" : family_of(result.model);
  if (!result.model.empty()) {
    try {
      result.differences = differences_of(models::make(result.model, result.options), weights);
      return result;
    } catch (const Error&) {  // no network has such options
      result.model.clear();
    }
  }
  for (const auto& [name, tensor] : weights.tensors)
    result.differences.push_back({name, io::described(tensor.dtype(), tensor.shape()), ""});
  return result;
}

std::string to_string(const Recognition& recognition) {
  if (recognition.model.empty()) return "none of the zoo";
  std::string text = fmt::format("{} {}", recognition.family, recognition.model);
  if (!recognition.own_options.empty()) text += fmt::format(" with {}", recognition.own_options);
  const ResNetOptions& o = recognition.options;
  if (o.classes) text += ", " + counted(*o.classes, "class", "classes");
  const std::int64_t usual = recognition.model.starts_with("d2l_") ? 1 : 3;
  if (o.in_channels && *o.in_channels != usual)
    text += ", " + counted(*o.in_channels, "input channel", "input channels");
  return text;
}

std::string to_string(const TensorDifference& difference) {
  const std::string name = fmt::format("tensor '{}'", difference.name);
  if (difference.file.empty()) return fmt::format("{} {} is missing", name, difference.network);
  if (difference.network.empty()) return fmt::format("{} {} is not in the network", name, difference.file);
  return fmt::format("{} is {}, the network has {}", name, difference.file, difference.network);
}

}  // namespace resnet
