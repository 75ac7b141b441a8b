// What the commands share: their options, their output, their errors.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "settings/settings.h"

namespace resnet::cli {

enum ExitCode : int { kDone = 0, kFailed = 1, kBadValue = 2 };

/// One subcommand. Its flags are read from the command line first and set afterwards, so that
/// --config comes before them wherever it stands.
class Command {
 public:
  Command(CLI::App& program, const std::string& name, const std::string& description);
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  CLI::App& app() noexcept { return *app_; }
  const CLI::App& app() const noexcept { return *app_; }
  /// What may stand for an option or positional, by its name without dashes; empty where anything may.
  std::vector<std::string> choices(const std::string& name) const;
  /// Throws ConfigError for words that are no flags of this command.
  void check_rest() const;
  virtual int run() = 0;

 protected:
  /// Flags from the table of options, in its order.
  void accept(const std::vector<std::string>& names);
  /// What the flags say, over `base`.
  settings::Settings from_flags(settings::Settings base = {}) const;
  bool given(const std::string& name) const;
  void set_choices(const std::string& name, std::vector<std::string> values) {
    choices_[name] = std::move(values);
  }

 private:
  CLI::App* app_;
  std::vector<std::pair<std::string, std::string>> given_;
  std::map<std::string, std::vector<std::string>> choices_;
};

/// The model file of RUN: a folder with model.safetensors in it, or the file itself. Throws IoError.
std::filesystem::path model_path(const std::string& run);

/// A line on stderr; if that cannot be written it is lost, and nothing else.
void say(const std::string& line);
/// `message` and `hint` on stderr, a line each; fields of the library are called by their flags.
void report(const std::string& message, const std::string& hint);

// The commands; each adds itself to the program.
std::unique_ptr<Command> make_train(CLI::App& program);
std::unique_ptr<Command> make_eval(CLI::App& program);
std::unique_ptr<Command> make_summary(CLI::App& program);
std::unique_ptr<Command> make_plan(CLI::App& program);
std::unique_ptr<Command> make_bench(CLI::App& program);
std::unique_ptr<Command> make_plot(CLI::App& program);
/// Hidden: prints the manual page or a shell's completion of `commands`, which must outlive it.
std::unique_ptr<Command> make_manual(CLI::App& program,
                                     const std::vector<std::unique_ptr<Command>>& commands);

}  // namespace resnet::cli
