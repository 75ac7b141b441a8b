// What the commands share: their arguments, their output, their errors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "resnet/model_file.h"
#include "settings/settings.h"

namespace resnet::cli {

enum ExitCode : int { kDone = 0, kFailed = 1, kBadValue = 2 };

/// A flag of a command, with or without a value, or a positional. Help, manual page and completions are
/// written from these.
struct Argument {
  using Target =
      std::variant<bool*, std::string*, std::vector<std::string>*, std::function<void(const std::string&)>>;
  std::string name;               // "lr"; of a positional "RUN"
  std::string placeholder = {};   // of the value; empty where there is none
  std::string help = {};          // one sentence, lower case, no full stop
  std::string default_text = {};  // as help shows it; may be empty
  Target target = {};  // what the parser sets; a function is called with the last value; none is ""
  bool positional = false;
  bool optional = false;                  // of a positional
  std::vector<std::string> choices = {};  // all values there are, or the usual ones; may be empty
  std::string example = {};               // of a positional
  bool given = false;                     // the parser's answer
};

/// One subcommand: its arguments as data, and what it does. Options of the table of settings are kept as
/// texts until from_flags(), so that --config comes before them wherever it stands.
class Command {
 public:
  Command(std::string name, std::string description)
      : name_(std::move(name)), description_(std::move(description)) {}
  virtual ~Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  const std::string& name() const noexcept { return name_; }
  const std::string& description() const noexcept { return description_; }
  std::vector<Argument>& arguments() noexcept { return arguments_; }
  const std::vector<Argument>& arguments() const noexcept { return arguments_; }
  /// Not listed by the help: for packagers.
  virtual bool hidden() const { return false; }

  /// Throws ConfigError for `words` that are no arguments of this command, with what was meant.
  void check_rest(const std::vector<std::string>& words) const;
  virtual int run() = 0;

 protected:
  void add(Argument argument) { arguments_.push_back(std::move(argument)); }
  /// Flags from the table of options, in its order; with "model" all that say what the network is,
  /// with "augment" all that say how training examples are changed.
  void accept(const std::vector<std::string>& names);
  /// All that are flags, but these.
  void accept_all_but(const std::vector<std::string>& names);
  /// What the help shows as the default of these flags.
  void default_is(const std::string& text, const std::vector<std::string>& names);
  /// What accept() took and the command line gave, over `base`.
  settings::Settings from_flags(settings::Settings base = {}) const;
  /// A positional DATA, which may be left out; --data may not be given too.
  void accept_data();
  /// `base` with the data set that it names, if it was given.
  settings::Settings with_data(settings::Settings base) const;
  /// The same with what trains a folder of pictures where no flag names a recipe: `scratch`, of given weights
  /// `finetune`, and resnet18. Other data keep the chapter's.
  settings::Settings with_recipe(settings::Settings base, bool of_given_weights = false) const;
  /// The flag --config, a file of settings that a run has written.
  void add_config(std::string& file);
  /// What is in it; none for "". Throws as settings::from_toml(), FormatError for another file of a run.
  static settings::Settings settings_in(const std::string& config);
  /// The positional RUN, one that model_of_run() takes; `example` is what may stand behind the command's name.
  void add_run(std::string& run, const std::string& example = "runs/resnet18-1");
  /// The positional RUN of commands that take several, as folders.
  void add_runs(std::vector<std::string>& runs);
  /// The target of the flag --`name`, a whole number from 1 to `most`.
  static Argument::Target count(std::string name, std::int64_t& value, std::int64_t most);
  /// The flag --classes, of a network that is made for the command.
  void add_classes(std::int64_t& classes);
  /// Flags of trainings say what they are where a network only answers: --batch-size, --tta, --loader-threads.
  void help_of_answers();
  /// Throws ConfigError for one of these flags that was given: it has no use `why`, "without --sheet FILE".
  void refuse(const std::vector<std::string>& flags, const std::string& why) const;
  /// The same for flags of changes of the examples that are not chosen.
  void refuse_idle_changes(const settings::Settings& chosen) const;
  /// The argument called `name`, which must be there.
  Argument& argument(const std::string& name);
  const Argument& argument(const std::string& name) const;

 private:
  std::string name_, description_;
  std::vector<Argument> arguments_;
  settings::Given given_;  // options and their texts
  std::string data_;       // the positional
};

using Commands = std::vector<std::unique_ptr<Command>>;

/// A file that a command writes, and the flag that names it.
struct Output {
  const char* flag;
  std::string file;  // "" where none is written
};
/// Refuses outputs that are each other's file, or one of `inputs`, which would be lost. Throws ConfigError.
void check_outputs(const std::vector<Output>& outputs, const std::vector<std::filesystem::path>& inputs = {});
/// The same for inputs that are all there, and many.
void check_outputs(const std::vector<Output>& outputs,
                   const std::function<std::vector<std::filesystem::path>()>& inputs);
/// Options for opening a data set that refuse outputs among the files it reads, before they are read.
data::DatasetOptions keeping(data::DatasetOptions watch, const std::vector<Output>& outputs);

/// The names of those that are not hidden.
std::vector<std::string> names_of(const Commands& commands);

/// What to do instead of a command or flag (without dashes) that other programs have; "" if nothing is known.
std::string hint_for_foreign(std::string_view word);

/// What the program is, for help and manual page.
inline constexpr const char* kDescription =
    "Trains, measures, inspects and ships residual networks, on CPUs and NVIDIA GPUs.";

/// A model, read already: a run that goes on removes its older checkpoints.
struct RunModel {
  std::filesystem::path file;
  ModelFile model;
};
/// That of a run's folder; of one that has not ended, or has gone on since its model was saved, its newest
/// checkpoint, which is told. None if it has neither. Throws as read_model().
std::optional<RunModel> model_in(const std::filesystem::path& folder);

/// The model of RUN: a folder that has one (model_in()), or a file of it. Throws IoError, or as read_model().
RunModel model_of_run(const std::string& run);

/// A line on stderr; if that cannot be written it is lost, and nothing else.
void say(const std::string& line);
/// Says what computes, but where a person chose the processor or nobody shall be told.
void say_device(const DeviceInfo& device, const settings::Settings& chosen, bool quiet);
/// The same of a command that does not train: on a machine without NVIDIA's driver there is nothing to say.
void say_other_device(const DeviceInfo& device, const settings::Settings& chosen, bool quiet);
/// What is said of a folder of pictures while it is opened: a bar unless `quiet`, then every file that cannot
/// be read, and what else there is to know of it.
data::DatasetOptions told_scan(bool quiet);
/// The latter, a line each.
std::vector<std::string> notes_of(const data::FolderScan& scan);
/// The classes that `train` has no example of, in a line; "" where it has some of each.
std::string note_of_missing_classes(const data::Dataset& train);
/// `message` and `hint` on stderr, a line each; fields of the library are called by their flags.
void report(const std::string& message, const std::string& hint);

std::unique_ptr<Command> make_train();
std::unique_ptr<Command> make_eval();
std::unique_ptr<Command> make_predict();
std::unique_ptr<Command> make_serve();
std::unique_ptr<Command> make_data();
std::unique_ptr<Command> make_import();
std::unique_ptr<Command> make_summary();
std::unique_ptr<Command> make_plan();
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_plot();
std::unique_ptr<Command> make_report();
std::unique_ptr<Command> make_export();
std::unique_ptr<Command> make_compare();
/// All of the above, in the order of the help.
Commands make_commands();
/// Hidden: prints the manual page or a shell's completion of `commands`, which must outlive it.
std::unique_ptr<Command> make_manual(const Commands& commands);

}  // namespace resnet::cli
