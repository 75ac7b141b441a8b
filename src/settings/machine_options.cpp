#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "engine/choice.h"
#include "settings/option_table.h"

namespace resnet::settings {

void add_machine(Table& table) {
  table
      .threads("threads",
               "threads; default: OMP_NUM_THREADS, else the cores that affinity and control groups leave",
               &Settings::threads)
      .fields = {"EngineOptions::threads"};
  const std::vector<std::string> precisions = {"f32", "bf16", "tf32"};
  table.add({"precision",
             "f32|bf16|tf32",
             "type of operands and stored activations; tf32, of GPUs alone, rounds operands and stores f32",
             true,
             [=](Settings& s, const std::string& t) {
               parse_choice("precision", t, precisions);
               for (const Precision precision : {Precision::f32, Precision::bf16, Precision::tf32})
                 if (name_of(precision) == t) s.precision = precision;
             },
             [](const Settings& s) { return std::string(name_of(s.precision)); },
             {"EngineOptions::precision"},
             precisions});
  table
      .choice("isa", "LEVEL", "use at most this instruction set: avx2, avx512 or avx512_bf16",
              {"avx2", "avx512", "avx512_bf16"}, &Settings::isa)
      .fields = {"EngineOptions::isa"};
  Option& memory = table.text(
      "memory", "SIZE",
      "most that the program may have in memory, e.g. 4G; what needs more is refused before it begins, "
      "with what would fit; default: what the machine or its control group has",
      &Settings::memory);
  memory.fields = {"EngineOptions::memory"};
  memory.set = [](Settings& s, const std::string& t) {
    parse_size("memory", t);
    s.memory = t;
  };
  Option& device =
      table.choice("device", "NAME", "cpu, cuda or cuda:N; auto: a GPU if one can be used, else the CPU",
                   {"auto", "cpu", "cuda"}, &Settings::device);
  device.fields = {"EngineOptions::device"};
  device.set = [](Settings& s, const std::string& t) {
    if (!engine::device_named(t)) {
      throw ConfigError(fmt::format("--device cannot be '{}'", t),
                        "give auto, cpu, cuda, or a GPU by its number, as cuda:0");
    }
    s.device = t;
  };
  table.text("out", "DIR", "folder of the run; default runs/<model>-<n>", &Settings::out);
  table.flag("tensorboard", "also write event files for TensorBoard into the run's folder",
             &Settings::tensorboard);
  table.add({"checkpoint-every",
             "TIME|N",
             "a checkpoint after so long, e.g. 5m, or so many steps, and after an epoch; 0: none",
             true,
             [](Settings& s, const std::string& t) {
               const bool steps =
                   !t.empty() && std::ranges::all_of(t, [](unsigned char c) { return std::isdigit(c); });
               s.checkpoint_steps = steps ? parse_count("checkpoint-every", t, 0, kMostCount) : 0;
               s.checkpoint_seconds = steps ? 0 : parse_time("checkpoint-every", t);
             },
             [](const Settings& s) {
               return s.checkpoint_seconds > 0 ? fmt::format("{}s", s.checkpoint_seconds)
                                               : fmt::format("{}", s.checkpoint_steps);
             },
             {"CheckpointOptions::every_steps", "CheckpointOptions::every_seconds"}});
  table.number("keep", "checkpoints that stay, besides the best", 1, 1000, &Settings::keep).fields = {
      "CheckpointOptions::keep"};
}

}  // namespace resnet::settings
