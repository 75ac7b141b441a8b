// Command lines of the program's words, its settings and random text. Each ends in a command with arguments
// that it takes, an answer (--help), or one error. No command is run; settings that are accepted say the same
// to the library when they went through a config.toml.
#include <algorithm>
#include <iostream>
#include <sstream>

#include "choices.h"
#include "cli/parser.h"
#include "found.h"
#include "settings/options.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

// Takes all settings there are, and does with them what a run does before it opens anything.
class Settings final : public cli::Command {
 public:
  Settings() : Command("settings", "What the settings say.") {
    accept_data();
    accept_all_but({});
  }
  int run() override {
    const settings::Settings given = with_data(from_flags());
    static_cast<void>(settings::augmentation(given));
    static_cast<void>(settings::cache_options(given));
    static_cast<void>(settings::engine_options(given));
    static_cast<void>(settings::checkpoint_options(given, "run"));
    static_cast<void>(settings::chosen_text(given));
    const std::string text = settings::to_toml(given);
    demand(settings::to_toml(settings::from_toml(text, "config.toml")) == text,
           "other settings are read back");
    return cli::kDone;
  }
};

cli::Commands all_commands() {
  cli::Commands commands = cli::make_commands();
  commands.push_back(cli::make_manual(commands));
  commands.push_back(std::make_unique<Settings>());
  return commands;
}

std::string random_text(Choices& choices) {
  std::string text;
  for (std::size_t left = choices.below(12); left > 0; --left) text += static_cast<char>(choices.byte());
  std::erase(text, '\0');  // no argument has one
  return text;
}

std::string value_for(const cli::Argument& argument, Choices& choices) {
  static const std::vector<std::string> kValues = words_of(
      "0 1 -1 2 0.5 -0.0 1e308 1e-320 nan inf 9223372036854775807 9223372036854775808 yes no none 8,16 "
      "1,1,1,1 224 57x41 90s 5m 2h 4G 1M flip,crop layer4 imagenet 0.5,0.5 , = - -- /dev/null");
  switch (choices.below(4)) {
    case 0:
      return argument.choices.empty() ? argument.default_text : choices.of(argument.choices);
    case 1:
      return argument.default_text;
    case 2:
      return random_text(choices);
    default:
      return choices.of(kValues);
  }
}

std::vector<std::string> words_made(const cli::Commands& commands, Choices& choices) {
  const cli::Command& command =
      *commands[choices.one_in(2) ? commands.size() - 1 : choices.below(commands.size())];
  std::vector<std::string> words;
  if (!choices.one_in(16)) words.push_back(command.name());
  for (std::size_t left = choices.below(8); left > 0; --left) {
    if (choices.one_in(8)) {
      words.push_back(choices.one_in(2) ? "--" + random_text(choices) : random_text(choices));
      continue;
    }
    if (choices.one_in(24)) {
      static const std::vector<std::string> kWords = words_of("--help -h --version -V help -- --no-such -x");
      words.push_back(choices.of(kWords));
      continue;
    }
    const cli::Command& whose = choices.one_in(12) ? *commands[choices.below(commands.size())] : command;
    if (whose.arguments().empty()) continue;
    const cli::Argument& argument = whose.arguments()[choices.below(whose.arguments().size())];
    if (argument.positional) {
      words.push_back(choices.one_in(2) ? argument.example : value_for(argument, choices));
      continue;
    }
    std::string flag = "--" + argument.name;
    if (choices.one_in(10)) flag.erase(choices.below(flag.size()), 1);
    const bool takes = !argument.placeholder.empty() != choices.one_in(12);
    if (takes && choices.one_in(3)) {
      words.push_back(flag + "=" + value_for(argument, choices));
      continue;
    }
    words.push_back(flag);
    if (takes) words.push_back(value_for(argument, choices));
  }
  return words;
}

// What is printed within its life.
class Printed {
 public:
  Printed() : before_(std::cout.rdbuf(text_.rdbuf())) {}
  ~Printed() { std::cout.rdbuf(before_); }
  Printed(const Printed&) = delete;
  Printed& operator=(const Printed&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

bool run(std::string_view input) {
  Choices choices(bytes_of(input));
  const cli::Commands commands = all_commands();
  const std::vector<std::string> words = words_made(commands, choices);
  std::vector<const char*> argv = {"resnet"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  const Printed printed;
  return accepted<ConfigError, ShapeError>("", [&] {
    const cli::Invocation invocation = cli::parse({"What it is.", "The end.", "1.2.3"}, commands,
                                                  static_cast<int>(argv.size()), argv.data());
    demand(!invocation.answered || !printed.text().empty(), "no answer");
    demand(invocation.answered || printed.text().empty(), "an answer that nobody asked for");
    if (invocation.command == nullptr) return;
    invocation.command->check_rest(invocation.rest);
    if (invocation.command == commands.back().get()) invocation.command->run();
  });
}

}  // namespace

Target arguments_target() {
  return {"arguments", run};
}

}  // namespace resnet::fuzz
