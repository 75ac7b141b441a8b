#include "cli/parser.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace resnet::cli {
namespace {

// As people write it.
std::string called(const Argument& argument) {
  return (argument.positional ? "" : "--") + argument.name;
}

bool takes_value(const Argument& argument) {
  return argument.positional || !argument.placeholder.empty();
}

[[noreturn]] void refuse_value(const Argument& argument, const std::string& value) {
  const std::string name = called(argument);
  throw ConfigError(fmt::format("{} cannot be '{}'", name, value),
                    takes_value(argument)
                        ? fmt::format("{}: {}", name, argument.help)
                        : fmt::format("{} takes no value: give it alone, or not at all", name));
}

[[noreturn]] void refuse_without_value(const Argument& argument) {
  throw ConfigError(fmt::format("{} needs a value, {}", called(argument), argument.placeholder),
                    fmt::format("{}: {}", called(argument), argument.help));
}

CLI::Option* add_option(CLI::App& app, const Argument& argument) {
  const std::string name = called(argument);
  return std::visit(
      [&](const auto& target) {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, bool*>) {
          return app.add_flag(name, *target, argument.help);
        } else if constexpr (std::is_same_v<Target, std::vector<std::string>*>) {
          return app.add_option(name, *target, argument.help);
        } else if constexpr (std::is_same_v<Target, std::string*>) {
          return app.add_option(name, *target, argument.help)
              ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        } else {
          if (!takes_value(argument)) {
            return app.add_flag(name, argument.help)->each([&target](const std::string& value) {
              target(value == "true" ? "yes" : value == "false" ? "no" : value);
            });
          }
          return app.add_option_function<std::string>(name, target, argument.help)
              ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        }
      },
      argument.target);
}

// No argument may be empty: behind `--resume "$RUN"` stands a variable that is not set.
CLI::Option* add(CLI::App& app, const Argument& argument) {
  return add_option(app, argument)->each([&argument](const std::string& value) {
    if (value.empty()) refuse_value(argument, value);
  });
}

/// `resnet help COMMAND` as the flags that CLI11 knows.
std::vector<std::string> words_of(const Commands& commands, int argc, const char* const* argv) {
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (words.empty() || words.front() != "help") return words;
  if (words.size() == 1) return {"--help"};
  const bool known = std::ranges::any_of(commands, [&](const auto& c) { return c->name() == words[1]; });
  return known ? std::vector<std::string>{words[1], "--help"} : std::vector<std::string>{words[1]};
}

/// The words behind the command, with `--flag=` in two: CLI11 would take the next word for its value, as it
/// takes a flag for the value of another one, which is refused here. A path such as "[a,b]", which it would take
/// for a list, gets a "./" in front.
void check_values(const Command& command, std::vector<std::string>& words) {
  const std::vector<Argument>& arguments = command.arguments();
  const auto flag = [&](std::string_view word) {  // none: the end
    if (!word.starts_with("--")) return arguments.end();
    word = word.substr(2, word.find('=') - 2);
    return std::ranges::find_if(arguments,
                                [&](const Argument& a) { return !a.positional && a.name == word; });
  };
  bool no_flags = false;  // behind "--"
  for (std::size_t i = 1; i < words.size(); ++i) {
    no_flags = no_flags || words[i] == "--";
    const auto found = no_flags ? arguments.end() : flag(words[i]);
    if (found == arguments.end() || !takes_value(*found)) {
      if (words[i].starts_with('[') && words[i].ends_with(']')) words[i].insert(0, "./");
      continue;
    }
    const std::size_t sign = words[i].find('=');
    if (sign == words[i].size() - 1) {
      words[i].pop_back();
      words.insert(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, "");
    } else if (sign != std::string::npos) {
      continue;
    } else if (i + 1 < words.size() && (flag(words[i + 1]) != arguments.end() || words[i + 1] == "--help")) {
      refuse_without_value(*found);
    }
    ++i;
  }
}

/// What CLI11 could not read, in our words.
[[noreturn]] void refuse(const CLI::ParseError& error, const Command& command) {
  const std::string said = error.what();  // begins with the argument's name
  for (const Argument& argument : command.arguments()) {
    const std::string name = called(argument);
    if (const auto at = said.find(name + " = ");
        at != std::string::npos) {  // "Could not convert: --classes = ten"
      refuse_value(argument, said.substr(at + name.size() + 3));
    }
    if (!said.starts_with(name + (argument.positional ? " " : ":"))) continue;
    if (argument.positional) {
      throw ConfigError(fmt::format("resnet {} needs {}: {}", command.name(), argument.name, argument.help),
                        fmt::format("e.g. resnet {} {}", command.name(), argument.example));
    }
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) refuse_without_value(argument);
  }
  throw ConfigError(said, fmt::format("resnet {} --help shows what there is", command.name()));
}

// One command as CLI11 sees it; options in the order of the arguments.
struct Subcommand {
  CLI::App* app;
  std::vector<CLI::Option*> options;
};

Subcommand add(CLI::App& program, const Command& command) {
  Subcommand result{program.add_subcommand(command.name(), command.description()), {}};
  result.app->allow_extras();  // Command::check_rest() says more than the parser would
  if (command.hidden()) result.app->group("");
  for (const Argument& argument : command.arguments()) {
    CLI::Option* option = add(*result.app, argument);
    if (!argument.placeholder.empty()) option->type_name(argument.placeholder);
    if (!argument.default_text.empty()) option->default_str(argument.default_text);
    if (argument.positional && !argument.optional) option->required();
    result.options.push_back(option);
  }
  return result;
}

}  // namespace

Invocation parse(const Program& program, const Commands& commands, int argc, const char* const* argv) {
  CLI::App app{program.description, "resnet"};
  app.set_version_flag("-v,-V,--version", program.version);
  app.require_subcommand(0, 1);
  app.allow_extras();
  app.get_formatter()->column_width(34);
  app.footer(program.footer);
  std::vector<Subcommand> subcommands;
  for (const auto& command : commands) subcommands.push_back(add(app, *command));
  Invocation result;
  try {
    std::vector<std::string> words = words_of(commands, argc, argv);
    for (const auto& command : commands) {
      if (!words.empty() && command->name() == words.front()) check_values(*command, words);
    }
    std::ranges::reverse(words);  // as CLI11 wants them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      for (std::size_t i = 0; i < commands.size(); ++i) {
        if (subcommands[i].app->parsed()) refuse(error, *commands[i]);
      }
      throw ConfigError(error.what(), "resnet --help shows what there is");
    }
    app.exit(error);  // prints
    result.answered = true;
    return result;
  }
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (!subcommands[i].app->parsed()) continue;
    result.command = commands[i].get();
    result.rest = subcommands[i].app->remaining();
    if (const auto mark = std::ranges::find(result.rest, "--"); mark != result.rest.end())
      result.rest.erase(mark);  // behind it no word is a flag
    std::vector<Argument>& arguments = result.command->arguments();
    for (std::size_t k = 0; k < arguments.size(); ++k) {
      arguments[k].given = subcommands[i].options[k]->count() > 0;
    }
  }
  result.before = app.remaining();
  result.help = app.help();
  return result;
}

std::string parser_version() {
  return std::string("CLI11 ") + CLI11_VERSION;
}

}  // namespace resnet::cli
