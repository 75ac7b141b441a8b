// The manual page and the shells' completions, written from the options that the commands take.
#include <fmt/core.h>

#include "base/joined.h"
#include "cli/command.h"
#include "data/sources.h"
#include "resnet/version.h"

namespace resnet::cli {
namespace {

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

constexpr const char* kHelp = "Shows the flags of a command.";

bool takes_folder(const Argument& argument) {
  return argument.placeholder == "DIR" || argument.name == "DATA";
}

bool takes_file(const Argument& argument) {
  return argument.placeholder == "FILE" || argument.name == "FILE" || argument.name == "RUN";
}

bool repeats(const Argument& argument) {
  return std::holds_alternative<std::vector<std::string>*>(argument.target);
}

// What a command takes, --help included.
std::vector<Argument> entries(const Command& command) {
  std::vector<Argument> list = {{.name = "help", .help = "Print this help message and exit"}};
  list.insert(list.end(), command.arguments().begin(), command.arguments().end());
  return list;
}

// The commands that people see.
std::vector<const Command*> listed(const Commands& commands) {
  std::vector<const Command*> list;
  for (const auto& command : commands) {
    if (!command->hidden()) list.push_back(command.get());
  }
  return list;
}

// Text for roff: a dash that is one, no escape, no request.
std::string roff(const std::string& text) {
  std::string result = replaced(replaced(text, "\\", "\\e"), "-", "\\-");
  if (result.starts_with('.') || result.starts_with('\'')) result.insert(0, "\\&");
  return result;
}

std::string man_page(const Commands& commands) {
  std::string page = fmt::format(".TH RESNET 1 \"\" \"resnet {}\" \"User Commands\"\n", kVersion);
  page += fmt::format(".SH NAME\nresnet \\- {}\n",
                      roff("trains, measures, inspects and ships residual networks"));
  page += ".SH SYNOPSIS\n";
  for (const Command* command : listed(commands)) {
    page += fmt::format(".B resnet {}\n[\\fIoptions\\fR]", command->name());
    for (const Argument& entry : entries(*command)) {
      if (entry.positional) page += fmt::format(" \\fI{}\\fR", roff(entry.name));
    }
    page += "\n.br\n";
  }
  page += fmt::format(".SH DESCRIPTION\n{}\n", roff(kDescription));
  page += ".SH COMMANDS\n";
  for (const Command* command : listed(commands)) {
    page += fmt::format(".SS resnet {}\n{}\n", command->name(), roff(command->description()));
    for (const Argument& entry : entries(*command)) {
      const std::string name = entry.positional ? entry.name : "--" + entry.name;
      page += fmt::format(".TP\n\\fB{}\\fR", roff(name));
      if (!entry.positional && !entry.placeholder.empty())
        page += fmt::format(" \\fI{}\\fR", roff(entry.placeholder));
      page += '\n' + roff(entry.help);
      if (!entry.default_text.empty()) page += fmt::format(" (default: {})", roff(entry.default_text));
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
      "129, "
      "130, 138 and 143 interrupted: the last line on standard error says what was saved, and where.\n";
  page +=
      ".SH ENVIRONMENT\n.TP\n\\fBRESNET_DATA_DIR\\fR\nfolder of the data set where \\-\\-data\\-dir is not "
      "given\n"
      ".TP\n\\fBOMP_NUM_THREADS\\fR\nthreads where \\-\\-threads is not given\n"
      ".TP\n\\fBRESNET_CUDA_PLUGIN\\fR\nfile of the plugin that computes on GPUs, where it is not beside the "
      "program "
      "or library\n"
      ".TP\n\\fBRESNET_CUDNN_DIR\\fR\nfolder of cuDNN's libraries, where the loader does not find them\n"
      ".TP\n\\fBXDG_CACHE_HOME\\fR\nfolder of what \\-\\-cache disk keeps, and of what is known of folders "
      "of "
      "pictures; else ~/.cache\n"
      ".TP\n\\fBCOLUMNS, LINES\\fR\nsize of plots, bars and curves\n"
      ".TP\n\\fBNO_COLOR\\fR\nset: no colours\n";
  page +=
      ".SH FILES\nA run lives in one folder: \\fIconfig.toml\\fR, \\fImetrics.csv\\fR, \\fIcurves.svg\\fR, "
      "\\fIresult.json\\fR, \\fImodel.safetensors\\fR, the folder \\fIcheckpoints\\fR, and "
      "\\fIdiagnosis.json\\fR of a step that was not finite. \\fIreport.html\\fR is what \\fBresnet "
      "report\\fR "
      "writes, \\fIevents.out.tfevents.*\\fR what \\-\\-tensorboard does; the folder around the runs of "
      "\\-\\-seeds has \\fIsummary.json\\fR. What was not measured is null in result.json. "
      "config.toml names the data by an absolute path and by the SHA-256 of the examples that were used: "
      "\\fBresnet eval RUN\\fR and \\fBresnet train \\-\\-config\\fR refuse other data of that name, unless "
      "\\-\\-data or \\-\\-data\\-dir is given. "
      "A folder that is moved or removed while its run goes on is made again at the end; where another one "
      "has "
      "taken its place, the model is saved in a new folder beside it, and the run fails.\n";
  return page;
}

std::string bash(const Commands& commands) {
  std::string text =
      "# Completion of resnet for bash.\n"
      "_resnet() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} flags= words= files=\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n";
  const std::string names = joined(names_of(commands), " ");
  text += fmt::format(
      "    COMPREPLY=($(compgen -W '{} help --help --version' -- \"$word\"))\n    return\n  fi\n", names);
  text += "  case \"${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD-1]}\" in\n";
  std::string flags;
  for (const Command* command : listed(commands)) {
    const std::string& name = command->name();
    std::vector<std::string> own;
    std::string words;
    std::string files;
    for (const Argument& entry : entries(*command)) {
      if (entry.positional) {
        words += fmt::format("{}{}", words.empty() ? "" : " ", joined(entry.choices, " "));
        if (takes_file(entry)) files = "-f";
        if (takes_folder(entry)) files = "-d";
        continue;
      }
      own.push_back("--" + entry.name);
      if (entry.placeholder.empty()) continue;
      std::string action = ":";  // a value that nobody can guess
      if (!entry.choices.empty()) {
        action = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", joined(entry.choices, " "));
      } else if (takes_folder(entry) || takes_file(entry)) {
        action = fmt::format("COMPREPLY=($(compgen {} -- \"$word\"))", takes_folder(entry) ? "-d" : "-f");
      }
      text += fmt::format("    '{} --{}') {}; return ;;\n", name, entry.name, action);
    }
    flags += fmt::format("    {}) flags='{}' words='{}' files={} ;;\n", name, joined(own, " "), words, files);
  }
  flags += fmt::format("    help) [ \"$COMP_CWORD\" -ne 2 ] || words='{}' ;;\n", names);
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
  for (const Command* command : listed(commands)) {
    text += fmt::format("    '{}:{}'\n", command->name(), zsh_quoted(command->description()));
  }
  text += fmt::format("    'help:{}'\n", zsh_quoted(kHelp));
  text +=
      "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
      "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n";
  for (const Command* command : listed(commands)) {
    text += fmt::format("    {}) _arguments", command->name());
    int place = 0;  // of a positional
    for (const Argument& entry : entries(*command)) {
      std::string action = " ";
      if (!entry.choices.empty()) {
        action = fmt::format("({})", zsh_quoted(joined(entry.choices, " ")));
      } else if (takes_folder(entry) || takes_file(entry)) {
        action = takes_folder(entry) ? "_files -/" : "_files";
      }
      const std::string value = zsh_quoted(entry.placeholder);
      if (entry.positional) {
        const std::string which =
            repeats(entry) ? "*" : std::to_string(++place) + (entry.optional ? ":" : "");
        text += fmt::format(" \\\n        '{}:{}:{}'", which, entry.name, action);
      } else if (entry.placeholder.empty()) {
        text += fmt::format(" \\\n        '--{}[{}]'", entry.name, zsh_quoted(entry.help));
      } else {
        text +=
            fmt::format(" \\\n        '--{}[{}]:{}:{}'", entry.name, zsh_quoted(entry.help), value, action);
      }
    }
    text += " ;;\n";
  }
  text += fmt::format("    help) _arguments '1:command:({})' ;;\n", joined(names_of(commands), " "));
  text += "  esac\n}\n_resnet \"$@\"\n";
  return text;
}

// Text within single quotes of fish.
std::string fish_quoted(const std::string& text) {
  return replaced(replaced(text, "\\", "\\\\"), "'", "\\'");
}

std::string fish(const Commands& commands) {
  std::string text = "# Completion of resnet for fish.\ncomplete -c resnet -f\n";
  for (const Command* command : listed(commands)) {
    text += fmt::format("complete -c resnet -n __fish_use_subcommand -a {} -d '{}'\n", command->name(),
                        fish_quoted(command->description()));
  }
  text += fmt::format("complete -c resnet -n __fish_use_subcommand -a help -d '{}'\n", fish_quoted(kHelp));
  text += fmt::format("complete -c resnet -n '__fish_seen_subcommand_from help' -a '{}'\n",
                      joined(names_of(commands), " "));
  for (const Command* command : listed(commands)) {
    for (const Argument& entry : entries(*command)) {
      text += fmt::format("complete -c resnet -n '__fish_seen_subcommand_from {}'", command->name());
      const bool choose = !entry.choices.empty();
      if (!entry.positional) text += fmt::format(" -l {}", entry.name);
      if (!entry.positional && !entry.placeholder.empty()) text += choose ? " -x" : " -r";
      if (choose) text += fmt::format(" -a '{}'", joined(entry.choices, " "));
      if (takes_folder(entry)) {
        text += " -a '(__fish_complete_directories)'";
      } else if (takes_file(entry)) {
        text += " -F";
      }
      text += fmt::format(" -d '{}'\n", fish_quoted(entry.help));
    }
  }
  return text;
}

class Manual final : public Command {
 public:
  explicit Manual(const Commands& commands)
      : Command("manual", "Prints the manual page or a shell's completion."), commands_(commands) {
    add({.name = "FORM",
         .help = "man, bash, zsh or fish",
         .target = &form_,
         .positional = true,
         .choices = {"man", "bash", "zsh", "fish"},
         .example = "man"});
  }

  bool hidden() const override { return true; }

  int run() override {
    if (form_ == "man") {
      fmt::print("{}", man_page(commands_));
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
  const Commands& commands_;
  std::string form_;
};

}  // namespace

std::unique_ptr<Command> make_manual(const Commands& commands) {
  return std::make_unique<Manual>(commands);
}

}  // namespace resnet::cli
