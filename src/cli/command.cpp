#include "cli/command.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>

#include "base/nearest.h"
#include "report/run_record.h"
#include "settings/options.h"

namespace resnet::cli {

void Command::check_rest(const std::vector<std::string>& words) const {
  if (words.empty()) return;
  const std::string flag = words.front().substr(0, words.front().find('='));
  if (!flag.starts_with('-')) {
    throw ConfigError(fmt::format("resnet {} takes no '{}'", name_, flag),
                      fmt::format("resnet {} --help shows what it takes", name_));
  }
  std::vector<std::string> flags = {"--help"};
  for (const Argument& argument : arguments_) {
    if (!argument.positional) flags.push_back("--" + argument.name);
  }
  const std::string near = nearest(flag, flags);
  throw ConfigError(fmt::format("resnet {} has no flag {}", name_, flag),
                    near.empty() ? fmt::format("resnet {} --help lists its flags", name_)
                                 : fmt::format("did you mean {}?", near));
}

void Command::accept(const std::vector<std::string>& names) {
  const settings::Settings defaults;
  for (const settings::Option& option : settings::options()) {
    if (std::find(names.begin(), names.end(), option.name) == names.end()) continue;
    const std::string name = option.name;
    add({.name = name,
         .placeholder = option.placeholder,
         .help = option.help,
         .default_text = option.get(defaults),
         .target = [this, name](const std::string& text) { given_.emplace_back(name, text); },
         .choices = option.choices});
  }
}

settings::Settings Command::from_flags(settings::Settings base) const {
  for (const auto& [name, text] : given_) settings::option(name).set(base, text);
  return base;
}

Argument& Command::argument(const std::string& name) {
  return *std::find_if(arguments_.begin(), arguments_.end(),
                       [&](const Argument& a) { return a.name == name; });
}

const Argument& Command::argument(const std::string& name) const {
  return *std::find_if(arguments_.begin(), arguments_.end(),
                       [&](const Argument& a) { return a.name == name; });
}

std::vector<std::string> names_of(const Commands& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (!command->hidden()) names.push_back(command->name());
  }
  return names;
}

std::filesystem::path model_path(const std::string& run) {
  const std::filesystem::path path(run);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    const auto file = path / report::kModelFile;
    if (!std::filesystem::exists(file, error)) {
      throw IoError(fmt::format("{} holds no {}", run, report::kModelFile),
                    "is it the folder of a finished run?");
    }
    return file;
  }
  if (!std::filesystem::exists(path, error)) {
    throw IoError(fmt::format("there is no {}", run), "give a run's folder or a .safetensors file");
  }
  return path;
}

void say(const std::string& line) {
  std::string text = line;  // names come from files: a line stays one, and commands to a terminal text
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; }, '?');
  std::fputs((text + "\n").c_str(), stderr);
}

void report(const std::string& message, const std::string& hint) {
  say("resnet: " + settings::in_flags(message));
  say("hint: " +
      (hint.empty() ? "resnet COMMAND --help shows what a command takes" : settings::in_flags(hint)));
}

}  // namespace resnet::cli
