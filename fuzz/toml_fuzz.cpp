// Settings of a run: what is accepted is written as a whole config.toml, from which the same settings are
// read.
#include "base/toml.h"
#include "found.h"
#include "settings/options.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

constexpr const char* kFile = "config.toml";

bool run(std::string_view input) {
  const std::string text(input);
  std::vector<TomlEntry> entries;
  if (!accepted<FormatError>(kFile, [&] { entries = parse_toml(text, kFile); })) return false;
  for (const TomlEntry& entry : entries) {
    if (!entry.value || entry.value->size() > 1000) continue;
    const auto again = parse_toml("x = " + toml_quoted(*entry.value), kFile);
    demand(again.size() == 1 && again.front().value == entry.value, "another text is read back");
  }
  settings::Settings settings;
  if (!accepted<FormatError>(kFile, [&] { settings = settings::from_toml(text, kFile); })) return false;
  const std::string written = settings::to_toml(settings);
  demand(settings::to_toml(settings::from_toml(written, kFile)) == written, "other settings are read back");
  return true;
}

}  // namespace

Target toml_target() {
  Target target{"toml",
                run,
                {settings::to_toml({}),
                 "epochs = 3\nlr = 0.1\n[model]\nname = 'resnet18'\nchannels = [8, 16]\nblocks = '1,1'\n",
                 "recipe = 'cifar'\naugment = 'flip,crop'\nmixup = 1e-1\n", "a.b.c = {d = [1, {e = 2}]}\n",
                 "x = 1979-05-27T07:32:00Z\ny = '''\nz'''\nw = \"\\u202e\"\n"},
                words_of("= [model] [ ] { } ' \" ''' \\u0000 0x7f inf nan 1e400 # yes no true false "
                         "1979-05-27 9223372036854775807 -1 0 1e-9 0.5 1.5 , .")};
  for (const settings::Option& option : settings::options()) {
    target.words.push_back(option.name + " = ");
    for (const std::string& choice : option.choices) target.words.push_back(toml_quoted(choice));
  }
  return target;
}

}  // namespace resnet::fuzz
