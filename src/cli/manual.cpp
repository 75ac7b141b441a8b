// The manual page and the shells' completions, written from the options that the commands take.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "data/sources.h"
#include "resnet/version.h"

namespace resnet::cli {
namespace {

using Commands = std::vector<std::unique_ptr<Command>>;

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

/// One flag or positional of a command.
struct Entry {
  std::string name;   // without dashes
  std::string value;  // placeholder; "" for a flag without a value
  std::string help;
  std::string preset;  // default; may be empty
  std::vector<std::string> choices;
  bool positional = false;

  bool is_folder() const { return value == "DIR"; }
  bool is_file() const { return value == "FILE" || name == "RUN"; }
};

std::vector<Entry> entries(const Command& command) {
  std::vector<Entry> list;
  for (const CLI::Option* option : command.app().get_options()) {
    Entry entry;
    entry.positional = option->get_positional();
    entry.name = entry.positional ? option->get_name(true) : option->get_lnames().front();
    if (option->get_items_expected_max() > 0) entry.value = option->get_type_name();
    entry.help = option->get_description();
    entry.preset = option->get_default_str();
    entry.choices = command.choices(entry.name);
    list.push_back(std::move(entry));
  }
  return list;
}

// Text for roff: a dash that is one, no escape, no request.
std::string roff(const std::string& text) {
  std::string result = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
  if (result.starts_with('.') || result.starts_with('\'')) result.insert(0, "\\&");
  return result;
}

std::string man_page(const CLI::App& program, const Commands& commands) {
  std::string page = fmt::format(".TH RESNET 1 \"\" \"resnet {}\" \"User Commands\"\n", kVersion);
  page += fmt::format(".SH NAME\nresnet \\- {}\n",
                      roff("trains, measures, inspects and ships residual networks"));
  page += ".SH SYNOPSIS\n";
  for (const auto& command : commands) {
    page += fmt::format(".B resnet {}\n[\\fIoptions\\fR]", command->app().get_name());
    for (const Entry& entry : entries(*command)) {
      if (entry.positional) page += fmt::format(" \\fI{}\\fR", roff(entry.name));
    }
    page += "\n.br\n";
  }
  page += fmt::format(".SH DESCRIPTION\n{}\n", roff(program.get_description()));
  page += ".SH COMMANDS\n";
  for (const auto& command : commands) {
    page +=
        fmt::format(".SS resnet {}\n{}\n", command->app().get_name(), roff(command->app().get_description()));
    for (const Entry& entry : entries(*command)) {
      const std::string name = entry.positional ? entry.name : "--" + entry.name;
      page += fmt::format(".TP\n\\fB{}\\fR", roff(name));
      if (!entry.positional && !entry.value.empty()) page += fmt::format(" \\fI{}\\fR", roff(entry.value));
      page += '\n' + roff(entry.help);
      if (!entry.preset.empty()) page += fmt::format(" (default: {})", roff(entry.preset));
      page += '\n';
    }
  }
  page += ".SH DATA SETS\n";
  for (const data::DataSource& source : data::data_sources()) {
    page += fmt::format(".TP\n\\fB{}\\fR\n{}: {}\n", roff(source.usage()), roff(std::string(source.title)),
                        roff(std::string(source.help)));
  }
  page +=
      ".SH EXIT STATUS\n0 done; 1 a file, the data or the machine failed; 2 a flag cannot take its value; "
      "130 and "
      "143 interrupted after saving.\n";
  page +=
      ".SH ENVIRONMENT\n.TP\n\\fBRESNET_DATA_DIR\\fR\nfolder of the data set where \\-\\-data\\-dir is not "
      "given\n"
      ".TP\n\\fBNO_COLOR\\fR\nset: no colours\n";
  page +=
      ".SH FILES\nA run lives in one folder: \\fIconfig.toml\\fR, \\fImetrics.csv\\fR, \\fIcurves.svg\\fR, "
      "\\fIresult.json\\fR, \\fImodel.safetensors\\fR.\n";
  return page;
}

std::vector<std::string> names_of(const Commands& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command->app().get_name());
  return names;
}

std::string bash(const Commands& commands) {
  std::string text =
      "# Completion of resnet for bash.\n"
      "_resnet() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} flags= words= files=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n";
  text += fmt::format("    COMPREPLY=($(compgen -W '{} --help --version' -- \"$word\"))\n    return\n  fi\n",
                      fmt::join(names_of(commands), " "));
  text += "  case \"${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD-1]}\" in\n";
  std::string flags;
  for (const auto& command : commands) {
    const std::string& name = command->app().get_name();
    std::vector<std::string> own;
    std::string words;
    std::string files;
    for (const Entry& entry : entries(*command)) {
      if (entry.positional) {
        words += fmt::format("{}{}", words.empty() ? "" : " ", fmt::join(entry.choices, " "));
        if (entry.is_file()) files = "-f";
        continue;
      }
      own.push_back("--" + entry.name);
      if (entry.value.empty()) continue;
      std::string action = ":";  // a value that nobody can guess
      if (!entry.choices.empty()) {
        action = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", fmt::join(entry.choices, " "));
      } else if (entry.is_folder() || entry.is_file()) {
        action = fmt::format("COMPREPLY=($(compgen {} -- \"$word\"))", entry.is_folder() ? "-d" : "-f");
      }
      text += fmt::format("    '{} --{}') {}; return ;;\n", name, entry.name, action);
    }
    flags +=
        fmt::format("    {}) flags='{}' words='{}' files={} ;;\n", name, fmt::join(own, " "), words, files);
  }
  text += "  esac\n  case ${COMP_WORDS[1]} in\n" + flags + "  esac\n";
  text +=
      "  case $word in\n"
      "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
      "    *) COMPREPLY=($(compgen -W \"$words\" $files -- \"$word\")) ;;\n"
      "  esac\n"
      "}\n"
      "complete -o filenames -F _resnet resnet\n";
  return text;
}

// Text within single quotes of zsh, in a place where [, ] and : mean something.
std::string zsh_quoted(const std::string& text) {
  std::string result = text;
  for (const char* special : {"[", "]", ":"}) result = replaced(result, special, std::string("\\") + special);
  return replaced(result, "'", "'\\''");
}

std::string zsh(const Commands& commands) {
  std::string text = "#compdef resnet\n_resnet() {\n  local -a commands=(\n";
  for (const auto& command : commands) {
    text +=
        fmt::format("    '{}:{}'\n", command->app().get_name(), zsh_quoted(command->app().get_description()));
  }
  text +=
      "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
      "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n";
  for (const auto& command : commands) {
    text += fmt::format("    {}) _arguments", command->app().get_name());
    for (const Entry& entry : entries(*command)) {
      std::string action = " ";
      if (!entry.choices.empty()) {
        action = fmt::format("({})", zsh_quoted(fmt::format("{}", fmt::join(entry.choices, " "))));
      } else if (entry.is_folder() || entry.is_file()) {
        action = entry.is_folder() ? "_files -/" : "_files";
      }
      const std::string value = zsh_quoted(entry.value);
      if (entry.positional) {
        text += fmt::format(" \\\n        '*:{}:{}'", entry.name, action);
      } else if (entry.value.empty()) {
        text += fmt::format(" \\\n        '--{}[{}]'", entry.name, zsh_quoted(entry.help));
      } else {
        text +=
            fmt::format(" \\\n        '--{}[{}]:{}:{}'", entry.name, zsh_quoted(entry.help), value, action);
      }
    }
    text += " ;;\n";
  }
  text += "  esac\n}\n_resnet \"$@\"\n";
  return text;
}

// Text within single quotes of fish.
std::string fish_quoted(const std::string& text) {
  return replaced(replaced(text, "\\", "\\\\"), "'", "\\'");
}

std::string fish(const Commands& commands) {
  std::string text = "# Completion of resnet for fish.\ncomplete -c resnet -f\n";
  for (const auto& command : commands) {
    text += fmt::format("complete -c resnet -n __fish_use_subcommand -a {} -d '{}'\n",
                        command->app().get_name(), fish_quoted(command->app().get_description()));
  }
  for (const auto& command : commands) {
    for (const Entry& entry : entries(*command)) {
      text +=
          fmt::format("complete -c resnet -n '__fish_seen_subcommand_from {}'", command->app().get_name());
      const bool choose = !entry.choices.empty();
      if (!entry.positional) text += fmt::format(" -l {}", entry.name);
      if (!entry.positional && !entry.value.empty()) text += choose ? " -x" : " -r";
      if (choose) text += fmt::format(" -a '{}'", fmt::join(entry.choices, " "));
      if (entry.is_folder()) {
        text += " -a '(__fish_complete_directories)'";
      } else if (entry.is_file()) {
        text += " -F";
      }
      text += fmt::format(" -d '{}'\n", fish_quoted(entry.help));
    }
  }
  return text;
}

class Manual final : public Command {
 public:
  Manual(CLI::App& program, const Commands& commands)
      : Command(program, "manual", "Prints the manual page or a shell's completion."),
        program_(program),
        commands_(commands) {
    app().group("");  // for packagers; the help does not list it
    app().add_option("FORM", form_, "man, bash, zsh or fish")->required();
    set_choices("FORM", {"man", "bash", "zsh", "fish"});
  }

  int run() override {
    if (form_ == "man") {
      fmt::print("{}", man_page(program_, commands_));
    } else if (form_ == "bash") {
      fmt::print("{}", bash(commands_));
    } else if (form_ == "zsh") {
      fmt::print("{}", zsh(commands_));
    } else if (form_ == "fish") {
      fmt::print("{}", fish(commands_));
    } else {
      throw ConfigError(fmt::format("resnet manual cannot write '{}'", form_), "give man, bash, zsh or fish");
    }
    return kDone;
  }

 private:
  const CLI::App& program_;
  const Commands& commands_;
  std::string form_;
};

}  // namespace

std::unique_ptr<Command> make_manual(CLI::App& program, const Commands& commands) {
  return std::make_unique<Manual>(program, commands);
}

}  // namespace resnet::cli
