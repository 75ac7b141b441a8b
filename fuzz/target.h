// What is fuzzed: a reader of something that nobody vouches for, and inputs to begin with.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace resnet::fuzz {

struct Target {
  std::string name;
  /// Does with an input what the target's source says, and gives whether it was accepted. Aborts with what
  /// was found.
  bool (*run)(std::string_view input);
  /// Inputs to begin with, which the drivers change. None: every input is a sequence of choices.
  std::vector<std::string> seeds = {};
  /// What inputs are made of.
  std::vector<std::string> words = {};
};

// A source each.
Target arguments_target();
Target checkpoint_target();
Target cifar_target();
Target http_target();
Target idx_target();
Target image_target();
Target json_target();
Target metrics_target();
Target model_target();
Target pth_target();
Target safetensors_target();
Target toml_target();

using MakeTarget = Target (*)();

struct NamedTarget {
  std::string_view name;
  MakeTarget make;
};

/// All of them, in the order of their names.
inline constexpr NamedTarget kTargets[] = {
    {"arguments", arguments_target},
    {"checkpoint", checkpoint_target},
    {"cifar", cifar_target},
    {"http", http_target},
    {"idx", idx_target},
    {"image", image_target},
    {"json", json_target},
    {"metrics", metrics_target},
    {"model", model_target},
    {"pth", pth_target},
    {"safetensors", safetensors_target},
    {"toml", toml_target},
};

inline std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The texts between spaces.
std::vector<std::string> words_of(const std::string& text);

}  // namespace resnet::fuzz
