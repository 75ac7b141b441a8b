#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/nearest.h"
#include "report/run_record.h"
#include "settings/options.h"

namespace resnet::cli {

Command::Command(CLI::App& program, const std::string& name, const std::string& description)
    : app_(program.add_subcommand(name, description)) {
  app_->allow_extras();  // check_rest() says more than the parser would
}

void Command::check_rest() const {
  const std::vector<std::string> rest = app_->remaining();
  if (rest.empty()) return;
  const std::string flag = rest.front().substr(0, rest.front().find('='));
  if (!flag.starts_with('-')) {
    throw ConfigError(fmt::format("resnet {} takes no '{}'", app_->get_name(), flag),
                      fmt::format("resnet {} --help shows what it takes", app_->get_name()));
  }
  std::vector<std::string> flags;
  for (const CLI::Option* option : app_->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  const std::string near = nearest(flag, flags);
  throw ConfigError(fmt::format("resnet {} has no flag {}", app_->get_name(), flag),
                    near.empty() ? fmt::format("resnet {} --help lists its flags", app_->get_name())
                                 : fmt::format("did you mean {}?", near));
}

void Command::accept(const std::vector<std::string>& names) {
  const settings::Settings defaults;
  for (const settings::Option& option : settings::options()) {
    if (std::find(names.begin(), names.end(), option.name) == names.end()) continue;
    const std::string name = option.name;
    CLI::Option* flag = app_->add_option_function<std::string>(
        "--" + name, [this, name](const std::string& text) { given_.emplace_back(name, text); }, option.help);
    flag->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    flag->type_name(option.placeholder);
    flag->default_str(option.get(defaults));
    set_choices(name, option.choices);
  }
}

settings::Settings Command::from_flags(settings::Settings base) const {
  for (const auto& [name, text] : given_) settings::option(name).set(base, text);
  return base;
}

std::vector<std::string> Command::choices(const std::string& name) const {
  const auto found = choices_.find(name);
  return found == choices_.end() ? std::vector<std::string>{} : found->second;
}

bool Command::given(const std::string& name) const {
  return std::any_of(given_.begin(), given_.end(), [&](const auto& entry) { return entry.first == name; });
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
