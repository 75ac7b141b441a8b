#include "bench/bench.h"

#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/command.h"

namespace resnet::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

class Bench final : public Command {
 public:
  explicit Bench(CLI::App& program)
      : Command(program, "bench",
                "Throughput against what the machine can do: resnet bench train | loader.") {
    app().add_option("WHAT", what_, "train: whole training steps; loader: the data alone")->required();
    set_choices("WHAT", {"train", "loader"});
    accept({"data", "data-dir", "resize", "model", "blocks", "channels", "block", "input", "steps", "seed",
            "threads", "precision", "isa"});
    app().add_option("--classes", classes_, "classes of the network")->type_name("N")->default_str("10");
    app().add_flag("--check", check_, "compare with the reference engine first");
    app().add_flag("--json", json_, "print the figures as JSON");
  }

  int run() override {
    const train::Settings chosen = settings();
    if (what_ == "train") return train_steps(chosen);
    if (what_ == "loader") return loader(chosen);
    const std::string near = train::nearest(what_, choices("WHAT"));
    throw ConfigError(fmt::format("resnet bench cannot measure '{}'", what_),
                      near.empty() ? "give train or loader" : fmt::format("did you mean {}?", near));
  }

 private:
  int train_steps(const train::Settings& chosen) const {
    const Shape images = chosen.input.rank() == 0 ? Shape{256, 1, 96, 96} : chosen.input;
    nn::Sequential net = make_model(chosen, images[1], classes_);
    nn::init_unset(net, net.scheme(), chosen.seed);
    const EngineOptions options = train::engine_options(chosen);
    bench::GradientCheck check;
    if (check_) {
      check = bench::check_against_reference(net, images, classes_, options);
      if (!check.passed()) {
        throw FormatError(
            fmt::format("the gradient differs from the reference by {:.2e} (l2), more than {:.2e}",
                        check.difference, check.tolerance),
            "this is an error of the program: please report it with the command");
      }
    }
    constexpr std::int64_t kSteps = 7;
    const bench::TrainBench figures =
        bench::train_steps(net, images, classes_, chosen.steps > 0 ? chosen.steps : kSteps, options);
    if (json_) {
      nlohmann::ordered_json object = {
          {"model", chosen.model},
          {"input", std::vector<std::int64_t>(images.begin(), images.end())},
          {"precision", chosen.precision == Precision::f32 ? "f32" : "bf16"},
          {"examples_per_second", figures.examples_per_second},
          {"step_ms", {{"median", figures.median_ms}, {"min", figures.min_ms}, {"max", figures.max_ms}}},
          {"peak_gflops", figures.peak_gflops},
          {"direct_limit_examples_per_second", figures.direct_limit_examples_per_second},
          {"fraction_of_direct_limit", figures.fraction_of_direct_limit},
          {"arena_bytes", figures.arena_bytes},
          {"peak_rss_bytes", figures.peak_rss_bytes},
          {"threads", figures.threads},
          {"isa", figures.isa}};
      if (check_)
        object["gradient_check"] = {{"l2_difference", check.difference}, {"tolerance", check.tolerance}};
      std::cout << object.dump() << '\n';
      return kDone;
    }
    fmt::print("{} {} f32, {} threads, {}\n", chosen.model, to_string(images), figures.threads, figures.isa);
    if (check_)
      fmt::print("gradient {:.1e} (l2) from the reference, {:.1e} allowed\n", check.difference,
                 check.tolerance);
    fmt::print("{:.1f} examples/s; step {:.1f} ms (median; {:.1f} to {:.1f})\n", figures.examples_per_second,
               figures.median_ms, figures.min_ms, figures.max_ms);
    fmt::print("peak {:.0f} GFLOP/s, direct-convolution limit {:.1f} examples/s: {:.2f} of it\n",
               figures.peak_gflops, figures.direct_limit_examples_per_second,
               figures.fraction_of_direct_limit);
    fmt::print("arena {:.0f} MiB, peak RSS {:.0f} MiB\n", static_cast<double>(figures.arena_bytes) / kMiB,
               static_cast<double>(figures.peak_rss_bytes) / kMiB);
    return kDone;
  }

  int loader(const train::Settings& chosen) const {
    const data::Dataset training = train::open_data(chosen, data::Split::train);
    const double rate = bench::loader_rate(training, chosen.batch_size);
    if (json_) {
      std::cout << nlohmann::ordered_json{{"data", training.name()}, {"examples_per_second", rate}}.dump()
                << '\n';
    } else {
      fmt::print("{} at {}: {:.0f} examples/s\n", training.name(), to_string(training.example_shape()), rate);
    }
    return kDone;
  }

  std::string what_;
  std::int64_t classes_ = 10;
  bool check_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_bench(CLI::App& program) {
  return std::make_unique<Bench>(program);
}

}  // namespace resnet::cli
