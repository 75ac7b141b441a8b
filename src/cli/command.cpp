#include "cli/command.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "base/files.h"
#include "base/nearest.h"
#include "base/text.h"
#include "data/sources.h"
#include "report/run_record.h"
#include "resnet/folder.h"
#include "resnet/model_file.h"
#include "resnet/report.h"
#include "settings/options.h"
#include "settings/values.h"

namespace resnet::cli {
namespace {

/// Words that people bring from elsewhere: commands and flags (without dashes) that the program does not
/// have.
struct Foreign {
  std::string_view word, hint;
};
constexpr Foreign kForeign[] = {
    {"wd", "did you mean --weight-decay?"},
    {"optim", "did you mean --optimizer?"},
    {"adam", "did you mean --optimizer adamw?"},
    {"adamw", "did you mean --optimizer adamw?"},
    {"scheduler", "did you mean --schedule?"},
    {"label_smoothing", "did you mean --label-smoothing?"},
    {"pretrained", "did you mean --init FILE?"},
    {"bs", "did you mean --batch-size?"},
    {"learning-rate", "did you mean --lr?"},
    {"learning_rate", "did you mean --lr?"},
    {"dataset", "did you mean --data?"},
    {"arch", "did you mean --model?"},
    {"output", "did you mean --out?"},
    {"jobs", "did you mean --threads?"},
    {"workers", "did you mean --threads?"},
    {"gpu", "did you mean --device cuda?"},
    {"cuda", "did you mean --device cuda?"},
    {"convert", "did you mean resnet import?"},
    {"weights", "did you mean --init FILE?"},
    {"infer", "did you mean resnet predict?"},
    {"classify", "did you mean resnet predict?"},
    {"diff", "did you mean resnet compare?"},
    {"test", "did you mean resnet eval?"},
    {"validate", "did you mean resnet eval?"},
    {"fit", "did you mean resnet train?"},
    {"benchmark", "did you mean resnet bench?"},
    {"curves", "did you mean resnet plot?"},
};

}  // namespace

Commands make_commands() {
  Commands commands;
  for (const auto make :
       {make_train, make_eval, make_predict, make_serve, make_report, make_data, make_import, make_export,
        make_compare, make_summary, make_plan, make_bench, make_plot})
    commands.push_back(make());
  return commands;
}

std::string hint_for_foreign(std::string_view word) {
  const auto* known = std::ranges::find(kForeign, word, &Foreign::word);
  return known == std::end(kForeign) ? "" : std::string(known->hint);
}

void Command::check_rest(const std::vector<std::string>& words) const {
  if (words.empty()) return;
  const std::string flag = words.front().substr(0, words.front().find('='));
  if (!flag.starts_with('-')) {
    throw ConfigError(fmt::format("resnet {} takes no '{}'", name_, flag),
                      fmt::format("resnet {} --help shows what it takes", name_));
  }
  const std::string word = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  std::vector<std::string> names = {"help"};
  for (const Argument& argument : arguments_) {
    if (!argument.positional) names.push_back(argument.name);
  }
  std::string hint = hint_for_foreign(word);
  const std::size_t meant = hint.find("--");  // a flag, which another command may have
  if (meant != std::string::npos &&
      std::ranges::find(names, hint.substr(meant + 2, hint.find_first_of(" ?", meant) - meant - 2)) ==
          names.end())
    hint.clear();
  if (hint.empty()) {
    const std::string near = nearest(word, names);
    hint = near.empty() ? fmt::format("resnet {} --help lists its flags", name_)
                        : fmt::format("did you mean --{}?", near);
  }
  throw ConfigError(fmt::format("resnet {} has no flag {}", name_, flag), hint);
}

void Command::accept(const std::vector<std::string>& names) {
  const settings::Settings defaults;
  const auto named = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const settings::Option& option : settings::options()) {
    if (!named(option.name) && !(!option.group.empty() && named(option.group))) continue;
    const std::string name = option.name;
    add({.name = name,
         .placeholder = option.placeholder,
         .help = option.help,
         .default_text = option.placeholder.empty() ? "" : option.get(defaults),
         .target = [this, name](const std::string& text) { given_.emplace_back(name, text); },
         .choices = option.choices});
  }
}

void Command::accept_all_but(const std::vector<std::string>& names) {
  std::vector<std::string> rest;
  for (const settings::Option& option : settings::options()) {
    if (option.flag && std::ranges::find(names, option.name) == names.end()) rest.push_back(option.name);
  }
  accept(rest);
}

void Command::default_is(const std::string& text, const std::vector<std::string>& names) {
  for (const std::string& name : names) argument(name).default_text = text;
}

settings::Settings Command::from_flags(settings::Settings base) const {
  settings::set_all(given_, base);
  return base;
}

void Command::accept_data() {
  add({.name = "DATA",
       .help = "a folder of pictures, or another data set: as --data",
       .target = &data_,
       .positional = true,
       .optional = true,
       .example = "photos"});
}

void Command::add_config(std::string& file) {
  add({.name = "config",
       .placeholder = "FILE",
       .help = "settings from a run's config.toml; flags override them",
       .target = &file});
}

settings::Settings Command::settings_in(const std::string& config) {
  if (config.empty()) return {};
  if (report::is_other_file_of_run(config, report::kConfigFile) || is_folder(config)) {
    throw FormatError(fmt::format("--config: {} is no file of settings", config),
                      report::hint_for_run(config, report::kConfigFile, "give the config.toml of a run"));
  }
  return settings::from_toml(read_text(config), config);
}

void Command::add_run(std::string& run, const std::string& example) {
  add({.name = "RUN",
       .help = "a run's folder or a .safetensors file",
       .target = &run,
       .positional = true,
       .example = example});
}

void Command::add_runs(std::vector<std::string>& runs) {
  add({.name = "RUN",
       .help = "folders of runs, or of seeds' runs",
       .target = &runs,
       .positional = true,
       .example = "runs/d2l_resnet18-1"});
}

Argument::Target Command::count(std::string name, std::int64_t& value, std::int64_t most) {
  return [name = std::move(name), &value, most](const std::string& text) {
    value = settings::parse_count(name, text, 1, most);
  };
}

void Command::add_classes(std::int64_t& classes) {
  constexpr std::int64_t kMost = 1 << 20;
  add({.name = "classes",
       .placeholder = "N",
       .help = "classes of the network",
       .default_text = "10",
       .target = count("classes", classes, kMost)});
}

settings::Settings Command::with_data(settings::Settings base) const {
  if (data_.empty()) return base;
  if (argument("data").given) {
    throw ConfigError(fmt::format("the data set is given twice, as '{}' and with --data", data_),
                      "give one of both");
  }
  settings::option("data").set(base, data_);
  return base;
}

settings::Settings Command::with_recipe(settings::Settings base, bool of_given_weights) const {
  const settings::Settings given = from_flags(base);
  if (!data::is_folder_of_pictures(data::full_name(given.data))) return base;
  const std::string recipe = argument("recipe").given ? given.recipe
                             : of_given_weights       ? "finetune"
                                                      : "scratch";
  if (recipe != "chapter") settings::set_all({{"recipe", recipe}, {"model", "resnet18"}}, base);
  return base;
}

void Command::help_of_answers() {
  argument("batch-size").help = "examples that go through the network together";
  argument("tta").help =
      "views of each picture, whose outputs are averaged: none, flip (with mirror images) or "
      "flip-shift (by a pixel too)";
  argument("loader-threads").help = "threads that read and decode; default: as many as --threads, at most 8";
}

void Command::refuse(const std::vector<std::string>& flags, const std::string& why) const {
  const bool beside = why.starts_with("with ");
  for (const std::string& flag : flags) {
    if (argument(flag).given)
      throw ConfigError(fmt::format("--{} has no use {}", flag, why),
                        beside ? "leave one of them out" : "give that too, or leave it out");
  }
}

void Command::refuse_idle_changes(const settings::Settings& chosen) const {
  for (const auto& [option, why] : settings::idle_augment_options(chosen)) refuse({option}, why);
}

Argument& Command::argument(const std::string& name) {
  return *std::find_if(arguments_.begin(), arguments_.end(),
                       [&](const Argument& a) { return a.name == name; });
}

const Argument& Command::argument(const std::string& name) const {
  return *std::find_if(arguments_.begin(), arguments_.end(),
                       [&](const Argument& a) { return a.name == name; });
}

void check_outputs(const std::vector<Output>& outputs, const std::vector<std::filesystem::path>& inputs) {
  const auto place_of = [](const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::absolute(path, ignored).lexically_normal();
  };
  const auto is_one = [&](const std::filesystem::path& a, const std::filesystem::path& b) {
    return !b.empty() && (are_same(a, b) || place_of(a) == place_of(b));
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [flag, file] = outputs[i];
    if (file.empty() || kind_of(file) == PathKind::other) continue;  // a device or a pipe takes many
    for (std::size_t k = 0; k < i; ++k) {
      if (is_one(file, outputs[k].file))
        throw ConfigError(fmt::format("{} and {} are both '{}'", outputs[k].flag, flag, file),
                          "give two files");
    }
    for (const std::filesystem::path& input : inputs) {
      if (is_one(file, input))
        throw ConfigError(fmt::format("{}: {} is read, and would be lost", flag, file),
                          "give another file to write");
    }
  }
}

void check_outputs(const std::vector<Output>& outputs,
                   const std::function<std::vector<std::filesystem::path>()>& inputs) {
  std::vector<Output> there;  // what is no file yet is none of a million pictures
  std::ranges::copy_if(outputs, std::back_inserter(there),
                       [](const Output& output) { return kind_of(output.file) == PathKind::file; });
  if (!there.empty()) check_outputs(there, inputs());
}

data::DatasetOptions keeping(data::DatasetOptions watch, const std::vector<Output>& outputs) {
  watch.opening = [outputs](const std::filesystem::path& file) { check_outputs(outputs, std::vector{file}); };
  watch.scanned = [outputs, next = std::move(watch.scanned)](const data::FolderScan& scan) {
    check_outputs(outputs, [&] {
      std::vector<std::filesystem::path> pictures;
      for (const data::Picture& picture : scan.pictures) pictures.push_back(scan.dir / picture.path);
      for (const data::BadFile& file : scan.bad) pictures.push_back(scan.dir / file.path);
      return pictures;
    });
    if (next) next(scan);
  };
  return watch;
}

std::vector<std::string> names_of(const Commands& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) {
    if (!command->hidden()) names.push_back(command->name());
  }
  return names;
}

namespace {

// Those that are damaged, or that the run has removed since, are passed over; none: all are.
std::optional<RunModel> newest_whole(const std::vector<std::filesystem::path>& checkpoints) {
  for (const std::filesystem::path& file : checkpoints) {
    try {
      return RunModel{file, read_model(file)};
    } catch (const FormatError& error) {
      say(fmt::format("note: passed over: {}", error.what()));
    } catch (const IoError& error) {
      say(fmt::format("note: passed over: {}", error.what()));
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<RunModel> model_in(const std::filesystem::path& folder) {
  const auto file = folder / report::kModelFile;
  const auto read = [](const std::filesystem::path& from) { return RunModel{from, read_model(from)}; };
  const bool has_model = path_exists(file);
  // A run that becomes longer has no result until it ends again; its model is that of before.
  if (has_model && path_exists(folder / report::kResultFile)) return read(file);
  const auto checkpoints = checkpoints_in(folder / report::kCheckpoints);
  if (has_model && (checkpoints.empty() || !is_newer(checkpoints.front(), file))) return read(file);
  if (checkpoints.empty()) return std::nullopt;
  auto newest = newest_whole(checkpoints);
  if (!newest && !has_model) return read(checkpoints.front());  // which says what is wrong
  say(fmt::format("note: {} {}; {}", folder.string(),
                  has_model ? "has gone on since its model was saved" : "has not ended",
                  newest ? newest->file.string() + " stands in for its model" : "that model answers"));
  return newest ? std::move(newest) : read(file);
}

RunModel model_of_run(const std::string& run) {
  const std::filesystem::path path(run);
  const std::string wanted = "give a run's folder, e.g. runs/d2l_resnet18-1, or a .safetensors file";
  const auto hint = [&](const std::string& otherwise) {
    return report::hint_for_run(path, report::kModelFile, otherwise);
  };
  if (is_folder(path)) {
    auto found = model_in(path);
    if (!found)
      throw IoError(fmt::format("{} holds no {}", run, report::kModelFile),
                    hint("is it the folder of a finished run?"));
    return std::move(*found);
  }
  if (!is_there(path)) {
    throw IoError(fmt::format("there is no file or folder '{}'", run), hint(wanted));
  }
  if (report::is_other_file_of_run(path, report::kModelFile)) {
    throw FormatError(fmt::format("{} is no model file", run), hint(wanted));
  }
  return {path, read_model(path)};
}

void say(const std::string& line) {
  // Names come from files: a line stays one, and commands to a terminal text. Above a bar or plot, where there is one.
  Screen::of(STDERR_FILENO)->print_above(printable(line));
}

void say_device(const DeviceInfo& device, const settings::Settings& chosen, bool quiet) {
  if (quiet || chosen.device == "cpu") return;
  say("device: " + settings::in_flags(to_string(device)));
  if (!device.note.empty()) say("note: " + device.note);
}

void say_other_device(const DeviceInfo& device, const settings::Settings& chosen, bool quiet) {
  if (device.reason == DeviceInfo::kNoDriver || device.reason == DeviceInfo::kNoPlugins) return;
  say_device(device, chosen, quiet);
}

void report(const std::string& message, const std::string& hint) {
  constexpr std::size_t kMostBytes = 300;               // of a line
  const auto say_shown = [](const std::string& line) {  // also where little memory is left
    std::fputs((shown(line, kMostBytes) + "\n").c_str(), stderr);
  };
  say_shown("resnet: " + settings::in_flags(message));
  say_shown("hint: " +
            (hint.empty() ? "resnet COMMAND --help shows what a command takes" : settings::in_flags(hint)));
}

}  // namespace resnet::cli
