#include "cli/parser.h"

#include <CLI/CLI.hpp>

namespace resnet::cli {
namespace {

CLI::Option* add(CLI::App& app, const Argument& argument) {
  const std::string name = argument.positional ? argument.name : "--" + argument.name;
  return std::visit(
      [&](const auto& target) {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<Target, bool*>) {
          return app.add_flag(name, *target, argument.help);
        } else if constexpr (std::is_pointer_v<Target>) {
          return app.add_option(name, *target, argument.help);
        } else {
          return app.add_option_function<std::string>(name, target, argument.help)
              ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        }
      },
      argument.target);
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
    if (argument.positional) option->required();
    result.options.push_back(option);
  }
  return result;
}

}  // namespace

Invocation parse(const Program& program, const Commands& commands, int argc, const char* const* argv) {
  CLI::App app{program.description, "resnet"};
  app.set_version_flag("--version", program.version);
  app.require_subcommand(0, 1);
  app.allow_extras();
  app.get_formatter()->column_width(34);
  app.footer(program.footer);
  std::vector<Subcommand> subcommands;
  for (const auto& command : commands) subcommands.push_back(add(app, *command));
  Invocation result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw ConfigError(error.what(), "resnet --help shows what there is");
    app.exit(error);  // prints
    result.answered = true;
    return result;
  }
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (!subcommands[i].app->parsed()) continue;
    result.command = commands[i].get();
    result.rest = subcommands[i].app->remaining();
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
