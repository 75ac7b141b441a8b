#include <fmt/core.h>

#include <array>

#include "settings/option_table.h"

namespace resnet::settings {
namespace {

using models::ResNetOptions;

// What `--name` sets in the library.
std::vector<std::string> field(const char* member) {
  return {std::string("ResNetOptions::") + member};
}

void add_stages(Table& table, const std::string& name, const std::string& help,
                std::vector<std::int64_t> ResNetOptions::*member) {
  table.add({name, "N,N,...", help, true,
             [=](Settings& s, const std::string& t) { s.network.*member = parse_stages(name, t); },
             [=](const Settings& s) { return joined(s.network.*member, ","); }, field(name.c_str())});
}

void add_number(Table& table, const std::string& name, const char* member_name, const std::string& help,
                std::int64_t least, std::optional<std::int64_t> ResNetOptions::*member) {
  constexpr std::int64_t kMost = 1 << 16;
  table.add(
      {name, "N", help, false,
       [=](Settings& s, const std::string& t) { s.network.*member = parse_count(name, t, least, kMost); },
       [=](const Settings& s) {
         return s.network.*member ? std::to_string(*(s.network.*member)) : std::string();
       },
       field(member_name)});
}

// A choice between values of T, each with its name.
template <class T>
void add_choice(Table& table, const std::string& name, const char* member_name, const std::string& help,
                const std::vector<std::pair<std::string, T>>& values,
                std::optional<T> ResNetOptions::*member) {
  std::vector<std::string> names;
  for (const auto& value : values) names.push_back(value.first);
  table.add({name, "KIND", help, true,
             [=](Settings& s, const std::string& t) {
               const std::string chosen = parse_choice(name, t, names);
               for (const auto& [text, value] : values) {
                 if (text == chosen) s.network.*member = value;
               }
             },
             [=](const Settings& s) -> std::string {
               for (const auto& [text, value] : values) {
                 if (s.network.*member == value) return text;
               }
               return "";
             },
             field(member_name), names});
}

}  // namespace

void add_network(Table& table) {
  table.choice("model", "NAME", "network: " + joined(models::names(), ", "), models::names(),
               &Settings::model);
  add_stages(table, "blocks", "blocks of each stage instead of the model's", &ResNetOptions::blocks);
  add_stages(table, "channels", "channels of each stage instead of the model's", &ResNetOptions::channels);
  add_stages(table, "strides", "stride of each stage's first block; default 1, then 2",
             &ResNetOptions::strides);
  add_choice<models::Block>(
      table, "block", "block", "kind of block instead of the model's: basic or bottleneck",
      {{"basic", models::Block::basic}, {"bottleneck", models::Block::bottleneck}}, &ResNetOptions::block);
  add_choice<models::Stem>(
      table, "stem", "stem",
      "large: 7x7 at stride 2 and a pool; deep: three 3x3 and a pool; small: 3x3, for images of some 32 "
      "pixels; default the model's",
      {{"large", models::Stem::large}, {"deep", models::Stem::deep}, {"small", models::Stem::small}},
      &ResNetOptions::stem);
  add_number(table, "stem-channels", "stem_channels",
             "channels of the stem; default those of the first stage", 1, &ResNetOptions::stem_channels);
  add_choice<nn::Shortcut>(
      table, "shortcut", "shortcut",
      "where shapes change, conv: a 1x1 convolution; avgpool: a pool before it; none: no shortcuts at all, a "
      "plain network; default the model's",
      {{"conv", nn::Shortcut::conv}, {"avgpool", nn::Shortcut::avgpool}, {"none", nn::Shortcut::none}},
      &ResNetOptions::shortcut);
  add_choice<bool>(
      table, "activation", "preactivation",
      "norm and ReLU pre: before each convolution (resnetv2), or post: after it; default the model's",
      {{"pre", true}, {"post", false}}, &ResNetOptions::preactivation);
  add_number(table, "groups", "groups", "groups of a bottleneck's 3x3 convolution (resnext: 32)", 1,
             &ResNetOptions::groups);
  add_number(table, "width-per-group", "width_per_group",
             "channels of each group in the first stage (wide: 128, resnext50_32x4d: 4, others: 64)", 1,
             &ResNetOptions::width_per_group);
  add_number(table, "se-reduction", "se_reduction",
             "squeeze-and-excitation with 1/N of the channels inside (seresnet: 16); 0: none", 0,
             &ResNetOptions::se_reduction);
  table.add({"drop-path", "P",
             "stochastic depth: the last block is left out with probability P, the first never", false,
             [](Settings& s, const std::string& t) { s.network.drop_path = parse_share("drop-path", t); },
             [](const Settings& s) {
               return s.network.drop_path ? fmt::format("{}", *s.network.drop_path) : std::string();
             },
             field("drop_path")});
}

void add_input(Table& table) {
  table.add({"input", "NxCxHxW", "shape of the input: images, channels, height, width", true,
             [](Settings& s, const std::string& t) { s.input = parse_input("input", t); },
             [](const Settings& s) { return s.input.rank() == 0 ? "" : joined(s.input, "x"); }});
}

}  // namespace resnet::settings
