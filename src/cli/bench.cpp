#include "bench/bench.h"

#include <fmt/core.h>

#include <array>
#include <iostream>
#include <map>

#include "base/json.h"
#include "base/machine.h"
#include "base/nearest.h"
#include "base/text.h"
#include "bench/check.h"
#include "cli/command.h"
#include "data/cache.h"
#include "settings/options.h"
#include "train/batches.h"

namespace resnet::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

// Flags that only some measurements have a use for.
const std::vector<std::string>& flags_of_network() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> names = settings::network_options();
    for (const char* name :
         {"input", "steps", "seed", "device", "threads", "precision", "isa", "classes", "check"})
      names.emplace_back(name);
    return names;
  }();
  return list;
}
const std::vector<std::string>& flags_of_loader() {
  static const std::vector<std::string> list = [] {
    std::vector<std::string> names = settings::augment_options();
    for (const char* name :
         {"data", "data-dir", "resize", "resize-filter", "crop", "normalize", "jpeg", "recipe",
          "loader-threads", "on-bad-file", "cache", "cache-size", "limit-train", "batch-size"})
      names.emplace_back(name);
    return names;
  }();
  return list;
}

class Bench final : public Command {
 public:
  Bench()
      : Command("bench", "Throughput against what the machine can do: resnet bench train | infer | loader.") {
    add({.name = "WHAT",
         .help = "train: whole training steps; infer: evaluation of batches; loader: the data alone",
         .target = &what_,
         .positional = true,
         .choices = {"train", "infer", "loader"},
         .example = "train"});
    std::vector<std::string> names = flags_of_loader();
    for (const char* name : {"model", "input", "steps", "seed", "device", "threads", "precision", "isa"})
      names.emplace_back(name);
    accept(names);
    argument("steps").help = "steps that are timed; 0: seven";
    argument("input").default_text = "256x1x96x96";
    add_classes(classes_);
    add({.name = "layers",
         .help = "each kernel of a training step by itself: the least of its times over the steps",
         .target = &layers_});
    add({.name = "check", .help = "compare with the reference engine first", .target = &check_});
    add({.name = "json", .help = "print the figures as JSON", .target = &json_});
    for (const std::string& name : flags_of_network()) argument(name).help += " (train, infer)";
    for (const std::string& name : flags_of_loader()) argument(name).help += " (loader)";
    argument("layers").help += " (train)";
  }

  int run() override {
    const settings::Settings chosen = from_flags();
    if (!chosen.step_changes.empty()) throw ConfigError("--steps is one number here");
    const bool training = what_ == "train";
    if (!training && what_ != "infer" && what_ != "loader") {
      const std::string near = nearest(what_, argument("WHAT").choices);
      throw ConfigError(fmt::format("resnet bench cannot measure '{}'", what_),
                        near.empty() ? "give train, infer or loader" : fmt::format("did you mean {}?", near));
    }
    if (layers_ && !training) {
      throw ConfigError("--layers measures a training step", "give resnet bench train --layers");
    }
    if (what_ == "loader") {
      refuse(flags_of_network(), "resnet bench loader runs no network");
      refuse_idle_changes(chosen);
      return loader(chosen);
    }
    refuse(flags_of_loader(), "resnet bench makes its own pictures: give --input NxCxHxW");
    return network(chosen);
  }

 private:
  // Flags that this measurement would ignore.
  void refuse(const std::vector<std::string>& names, const std::string& hint) const {
    for (const std::string& name : names) {
      if (argument(name).given) {
        throw ConfigError(fmt::format("resnet bench {} has no use for --{}", what_, name), hint);
      }
    }
  }

  int network(const settings::Settings& chosen) const {
    const Shape images = chosen.input.rank() == 0 ? Shape{256, 1, 96, 96} : chosen.input;
    nn::Sequential net = settings::make_model(chosen, images[1], classes_);
    nn::init_unset(net, net.scheme(), chosen.seed);
    const EngineOptions options = settings::engine_options(chosen);
    const std::string precision(name_of(chosen.precision));
    const bench::Work work = what_ == "infer" ? bench::Work::infer : bench::Work::train;
    const char* const checked = work == bench::Work::infer ? "output" : "gradient";
    bench::Check check;
    if (check_) {
      check = bench::check_against_reference(net, images, classes_, work, options);
      if (!check.passed()) {
        throw FormatError(fmt::format("{} differs from the reference by {:.2e} (l2), more than {:.2e}",
                                      check.tensor, check.difference, check.tolerance),
                          "this is an error of the program: please report it with the command");
      }
      if (!json_) {
        fmt::print("{}: {:.1e} (l2) from the reference, {:.1e} allowed, the nearest to it of all\n",
                   check.tensor, check.difference, check.tolerance);
      }
    }
    constexpr std::int64_t kSteps = 7;
    const std::int64_t steps = chosen.steps > 0 ? chosen.steps : kSteps;
    if (layers_) {
      const bench::LayerBench layers = bench::time_layers(net, images, classes_, steps, options);
      say_other_device(layers.device, chosen, json_);
      return print(layers, check, checked);
    }
    const bench::StepBench figures = bench::time_steps(net, images, classes_, steps, work, options);
    say_other_device(figures.device, chosen, json_);
    if (json_) {
      Json object = Json::object(
          {{"model", chosen.model},
           {"work", what_},
           {"input", Json::list(images)},
           {"precision", precision},
           {"device", figures.device.kind},
           {"device_name", figures.device.name},
           {"libraries", figures.device.libraries},
           {"note", figures.device.note},
           {"examples_per_second", figures.examples_per_second},
           {"step_ms",
            Json::object({{"median", figures.median_ms}, {"min", figures.min_ms}, {"max", figures.max_ms}})},
           {"timed", figures.timed},
           {"peak_gflops", figures.peak_gflops},
           {"direct_limit_examples_per_second", figures.direct_limit_examples_per_second},
           {"fraction_of_direct_limit", figures.fraction_of_direct_limit},
           {"arena_bytes", figures.arena_bytes},
           {"peak_rss_bytes", figures.peak_rss_bytes},
           {"threads", figures.device.threads},
           {"isa", figures.device.target}});
      if (check_) object.add("check", check_of(check, checked));
      std::cout << object.dump({.replace = true}) << '\n';
      return kDone;
    }
    const bool cpu = figures.device.kind == "cpu";
    fmt::print("{} {} {} {}, {}, {}\n", what_, chosen.model, to_string(images), precision,
               cpu ? fmt::format("{} threads", figures.device.threads) : figures.device.kind,
               figures.device.target);
    const int digits = cpu ? 1 : 3;  // of milliseconds
    fmt::print("{:.1f} examples/s; step {:.{}f} ms ({}; {:.{}f} to {:.{}f})\n", figures.examples_per_second,
               figures.step_ms, digits, cpu ? "median" : "mean", figures.min_ms, digits, figures.max_ms,
               digits);
    if (!cpu) fmt::print("timed: {}\n", figures.timed);
    fmt::print("peak {:.0f} GFLOP/s, direct-convolution limit {:.1f} examples/s: {:.2f} of it\n",
               figures.peak_gflops, figures.direct_limit_examples_per_second,
               figures.fraction_of_direct_limit);
    fmt::print("arena {:.0f} MiB, peak RSS {:.0f} MiB\n", static_cast<double>(figures.arena_bytes) / kMiB,
               static_cast<double>(figures.peak_rss_bytes) / kMiB);
    return kDone;
  }

  static Json check_of(const bench::Check& check, const char* checked) {
    return Json::object({{"of", checked},
                         {"tensor", check.tensor},
                         {"l2_difference", check.difference},
                         {"tolerance", check.tolerance}});
  }

  // A line a kernel call, then a line a kind of operation.
  int print(const bench::LayerBench& figures, const bench::Check& check, const char* checked) const {
    if (json_) {
      Json calls = Json::list();
      for (const CallTime& call : figures.calls) {
        calls.push_back(Json::object({{"node", call.node},
                                      {"op", call.op},
                                      {"kernel", call.kernel},
                                      {"ms", call.seconds * 1e3},
                                      {"direct_flops", call.flops},
                                      {"bytes", call.bytes}}));
      }
      Json object = Json::object({{"device", figures.device.kind},
                                  {"device_name", figures.device.name},
                                  {"libraries", figures.device.libraries},
                                  {"note", figures.device.note},
                                  {"isa", figures.device.target},
                                  {"peak_gflops", figures.peak_gflops},
                                  {"memory_gbytes_per_second", figures.memory_gbytes},
                                  {"calls", calls}});
      if (check_) object.add("check", check_of(check, checked));
      std::cout << object.dump({.replace = true}) << '\n';
      return kDone;
    }
    const int digits = figures.device.kind == "cpu" ? 2 : 4;  // of milliseconds
    fmt::print("{:<22} {:<36} {:>8} {:>9} {:>7} {:>8} {:>7}\n", "node", "kernel", "ms", "GFLOP/s", "of peak",
               "MiB", "of mem.");
    double total = 0;
    std::map<std::string, double> by_op;
    for (const CallTime& call : figures.calls) {
      const double gflops = call.flops / call.seconds / 1e9;
      fmt::print("{:<22} {:<36} {:>8.{}f} {:>9.1f} {:>7.2f} {:>8.1f} {:>7.2f}\n", call.node, call.kernel,
                 call.seconds * 1e3, digits, gflops, gflops / figures.peak_gflops, call.bytes / kMiB,
                 call.bytes / call.seconds / 1e9 / figures.memory_gbytes);
      total += call.seconds;
      by_op[call.op] += call.seconds;
    }
    for (const auto& [op, seconds] : by_op) {
      fmt::print("{:<59} {:>8.{}f} {:>9.1f} %\n", op, seconds * 1e3, digits, 100 * seconds / total);
    }
    fmt::print("{:<59} {:>8.{}f}\n", "all", total * 1e3, digits);
    fmt::print(
        "peak {:.0f} GFLOP/s, memory {:.1f} GB/s; FLOPs are those of the direct algorithm, padding counted\n",
        figures.peak_gflops, figures.memory_gbytes);
    return kDone;
  }

  int loader(const settings::Settings& chosen) const {
    const data::CacheOptions cache = settings::cache_options(chosen);
    const data::Dataset training =
        data::cached(settings::open_data(chosen, data::Split::train, told_scan(json_)), cache);
    const data::LoaderOptions options{
        .batch_size = chosen.batch_size,
        .threads = train::loader_threads(default_threads(), chosen.loader_threads),
        .layout = ImageLayout::nhwc,
        .augment = settings::augmentation(chosen)};
    if (const std::string note = data::cache_note({training, training.first(1)}, cache, options.augment);
        !note.empty()) {
      say("note: " + note);
    }
    print(training, bench::time_loader(training, options));
    return kDone;
  }

  void print(const data::Dataset& training, const bench::LoaderBench& figures) const {
    const double us = figures.decode_us + figures.transform_us + figures.copy_us;
    const auto rate = [](double microseconds) { return microseconds > 0 ? 1e6 / microseconds : 0; };
    const auto share = [us](double part) { return us > 0 ? part / us : 0; };
    const std::array<std::pair<const char*, double>, 3> parts = {
        {{"decode", figures.decode_us}, {"transform", figures.transform_us}, {"copy", figures.copy_us}}};
    if (json_) {
      Json by_name = Json::object({});
      for (const auto& [name, part] : parts) {
        by_name.add(name, Json::object({{"us", part}, {"share", share(part)}}));
      }
      Json loaders = Json::list();
      for (const auto& loader : figures.loaders) {
        loaders.push_back(
            Json::object({{"threads", loader.threads}, {"examples_per_second", loader.examples_per_second}}));
      }
      std::cout << Json::object({{"data", training.name()},
                                 {"examples_per_second", figures.loaders.back().examples_per_second},
                                 {"threads", figures.loaders.back().threads},
                                 {"parts", by_name},
                                 {"loaders", loaders}})
                       .dump({.replace = true})
                << '\n';
      return;
    }
    fmt::print("{} at {}\n", printable(training.name()), to_string(training.example_shape()));
    fmt::print("{:<12} {:>12} {:>12} {:>7}\n", "one thread", "us/example", "examples/s", "share");
    for (const auto& [name, part] : parts) {
      fmt::print("{:<12} {:>12.1f} {:>12.0f} {:>6.0f}%\n", name, part, rate(part), 100 * share(part));
    }
    fmt::print("{:<12} {:>12.1f} {:>12.0f}\n", "all", us, rate(us));
    for (const auto& loader : figures.loaders) {
      fmt::print("loader, {}: {:.0f} examples/s\n", counted(loader.threads, "thread", "threads"),
                 loader.examples_per_second);
    }
  }

  std::string what_;
  std::int64_t classes_ = 10;
  bool layers_ = false;
  bool check_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_bench() {
  return std::make_unique<Bench>();
}

}  // namespace resnet::cli
