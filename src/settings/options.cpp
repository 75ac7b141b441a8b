#include "settings/options.h"

#include <fmt/core.h>

#include <cctype>

#include "base/joined.h"
#include "data/sources.h"
#include "resnet/models.h"
#include "settings/values.h"

namespace resnet::settings {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 40;

// The table, built line by line: the last line can be completed with fields and choices.
class Table {
 public:
  std::vector<Option> lines;

  Option& number(const std::string& name, const std::string& help, std::int64_t least, std::int64_t most,
                 std::int64_t Settings::*member) {
    return add({name, "N", help, false,
                [=](Settings& s, const std::string& t) { s.*member = parse_count(name, t, least, most); },
                [=](const Settings& s) { return std::to_string(s.*member); }});
  }
  Option& text(const std::string& name, const std::string& placeholder, const std::string& help,
               std::string Settings::*member) {
    return add({name, placeholder, help, true, [=](Settings& s, const std::string& t) { s.*member = t; },
                [=](const Settings& s) { return s.*member; }});
  }
  Option& choice(const std::string& name, const std::string& placeholder, const std::string& help,
                 const std::vector<std::string>& names, std::string Settings::*member) {
    Option& line = text(name, placeholder, help, member);
    line.set = [=](Settings& s, const std::string& t) { s.*member = parse_choice(name, t, names); };
    line.choices = names;
    return line;
  }
  Option& stages(const std::string& name, const std::string& help,
                 std::vector<std::int64_t> Settings::*member) {
    return add({name, "N,N,...", help, true,
                [=](Settings& s, const std::string& t) { s.*member = parse_stages(name, t); },
                [=](const Settings& s) { return joined(s.*member, ","); }});
  }
  Option& add(Option line) { return lines.emplace_back(std::move(line)); }
};

std::string to_text(const data::Resize& resize) {
  if (resize.height == 0) return "";
  return resize.width == 0 ? std::to_string(resize.height)
                           : fmt::format("{}x{}", resize.height, resize.width);
}

void add_data(Table& table) {
  Option& set = table.text("data", "SET", "data set: " + data::data_source_usages(), &Settings::data);
  for (const data::DataSource& source : data::data_sources()) set.choices.push_back(source.completion());
  table
      .text("data-dir", "DIR", "folder of the data set; default $RESNET_DATA_DIR, then the system's",
            &Settings::data_dir)
      .fields = {"DatasetOptions::dir"};
  table.add({"resize",
             "N|HxW",
             "size of the images: shorter side, or exactly height x width",
             true,
             [](Settings& s, const std::string& t) { s.resize = parse_resize("resize", t); },
             [](const Settings& s) { return to_text(s.resize); },
             {"DatasetOptions::resize"}});
  for (const auto& [name, member] : {std::pair("train-sha256", &Settings::train_sha256),
                                     std::pair("test-sha256", &Settings::test_sha256)}) {
    Option& hash =
        table.text(name, "HEX", "sha256 of the examples that the run used, in its config.toml", member);
    hash.flag = false;
    hash.set = [name = name, member = member](Settings& s, const std::string& t) {
      s.*member = parse_sha256(name, t);
    };
  }
  table.number("limit-train", "use the first N training examples; 0: all", 0, kMost, &Settings::limit_train);
  table.number("limit-test", "use the first N test examples; 0: all", 0, kMost, &Settings::limit_test);
}

void add_network(Table& table) {
  table.choice("model", "NAME", "network: " + joined(models::names(), ", "), models::names(),
               &Settings::model);
  table.stages("blocks", "blocks of each stage instead of the model's", &Settings::blocks).fields = {
      "ResNetOptions::blocks"};
  table.stages("channels", "channels of each stage instead of the model's", &Settings::channels).fields = {
      "ResNetOptions::channels"};
  table.choice("block", "KIND", "kind of block instead of the model's: basic or bottleneck",
               {"basic", "bottleneck"}, &Settings::block);
  table.choice("stem", "KIND",
               "large: 7x7 at stride 2 and a pool; small: 3x3, for images of some 32 pixels; default large",
               {"large", "small"}, &Settings::stem);
  table.add({"input", "NxCxHxW", "shape of the input: images, channels, height, width", true,
             [](Settings& s, const std::string& t) { s.input = parse_input("input", t); },
             [](const Settings& s) { return s.input.rank() == 0 ? "" : joined(s.input, "x"); }});
}

void add_training(Table& table) {
  table.number("batch-size", "examples of a step", 1, 1 << 20, &Settings::batch_size).fields = {
      "FitOptions::batch_size", "EvaluateOptions::batch_size"};
  table.number("epochs", "passes over the training set", 1, kMost, &Settings::epochs).fields = {
      "FitOptions::epochs"};
  table.number("steps", "stop after N steps over all epochs; 0: never", 0, kMost, &Settings::steps).fields = {
      "FitOptions::steps"};
  table.add({"lr",
             "X",
             "learning rate",
             false,
             [](Settings& s, const std::string& t) { s.lr = parse_rate("lr", t); },
             [](const Settings& s) { return fmt::format("{}", s.lr); },
             {"FitOptions::lr"}});
  table.add({"seed", "N", "seed of initialisation, shuffling and dropout, 0 to 2^64-1", true,
             [](Settings& s, const std::string& t) { s.seed = parse_seed("seed", t); },
             [](const Settings& s) { return std::to_string(s.seed); }});
}

void add_machine(Table& table) {
  constexpr std::int64_t kMostThreads = 1024;
  table.add({"threads",
             "N",
             "threads; default: OMP_NUM_THREADS, else the cores that affinity and control groups leave",
             true,
             [](Settings& s, const std::string& t) {
               s.threads = static_cast<int>(parse_count("threads", t, 1, kMostThreads));
             },
             [](const Settings& s) { return s.threads == 0 ? "" : std::to_string(s.threads); },
             {"EngineOptions::threads"}});
  const std::vector<std::string> precisions = {"f32", "bf16"};
  table.add({"precision",
             "f32|bf16",
             "type of operands and stored activations",
             true,
             [=](Settings& s, const std::string& t) {
               const bool f32 = parse_choice("precision", t, precisions) == precisions[0];
               s.precision = f32 ? Precision::f32 : Precision::bf16;
             },
             [](const Settings& s) { return std::string(name_of(storage_of(s.precision))); },
             {"EngineOptions::precision"},
             precisions});
  table
      .choice("isa", "LEVEL", "use at most this instruction set: avx2, avx512 or avx512_bf16",
              {"avx2", "avx512", "avx512_bf16"}, &Settings::isa)
      .fields = {"EngineOptions::isa"};
  Option& device = table.choice("device", "NAME", "auto or cpu", {"auto", "cpu"}, &Settings::device);
  device.set = [take = device.set](Settings& s, const std::string& t) {
    if (t.starts_with("gpu") || t.starts_with("cuda")) {
      throw ConfigError("--device cannot be '" + t + "'",
                        "give cpu, or nothing: this build has no GPU engine");
    }
    take(s, t);
  };
  table.text("out", "DIR", "folder of the run; default runs/<model>-<n>", &Settings::out);
}

std::vector<Option> make_options() {
  Table table;
  add_data(table);
  add_network(table);
  add_training(table);
  add_machine(table);
  return table.lines;
}

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

}  // namespace

const std::vector<Option>& options() {
  static const std::vector<Option> list = make_options();
  return list;
}

const Option& option(std::string_view name) {
  for (const Option& candidate : options()) {
    if (candidate.name == name) return candidate;
  }
  throw ConfigError("there is no option '" + std::string(name) + "'");
}

std::string in_flags(std::string message) {
  for (const Option& o : options()) {
    for (const std::string& field : o.fields) {
      for (std::size_t at = 0; (at = message.find(field, at)) != std::string::npos;) {
        const std::size_t end = at + field.size();
        const bool whole = end == message.size() || !in_name(message[end]);
        if (whole) message.replace(at, field.size(), "--" + o.name);
        at += whole ? o.name.size() + 2 : field.size();
      }
    }
  }
  return message;
}

}  // namespace resnet::settings
