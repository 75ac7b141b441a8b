#include <fmt/core.h>

#include <algorithm>
#include <tuple>

#include "settings/option_table.h"
#include "settings/recipes.h"

namespace resnet::settings {
namespace {

void add_run(Table& table) {
  table.choice("recipe", "NAME",
               "settings of a kind of training, which other flags override: " + joined(recipe_names(), ", "),
               recipe_names(), &Settings::recipe);
  table.number("batch-size", "examples of a step", 1, 1 << 20, &Settings::batch_size).fields = {
      "FitOptions::batch_size", "EvaluateOptions::batch_size"};
  table.flag("drop-last", "leave out the last batch of an epoch where it is shorter", &Settings::drop_last)
      .fields = {"FitOptions::drop_last"};
  table.number("epochs", "passes over the training set", 1, kMostCount, &Settings::epochs).fields = {
      "FitOptions::epochs"};
  table.add(
      {"steps",
       "N",
       "stop after N steps over all epochs; 0: never; N,FROM:M as config.toml has it of a run with "
       "--time: at step FROM the rest of the schedule was planned anew to end with step M",
       false,
       [](Settings& s, const std::string& t) { std::tie(s.steps, s.step_changes) = parse_steps("steps", t); },
       [](const Settings& s) { return step_plan_text(s.steps, s.step_changes); },
       {"FitOptions::steps", "FitOptions::step_changes"}});
  table.add({"time",
             "TIME",
             "train for so long, e.g. 90s, 8m or 1.5h, evaluations included, in place of --epochs and "
             "--steps; 0: no bound",
             true,
             [](Settings& s, const std::string& t) { s.seconds = parse_time("time", t); },
             [](const Settings& s) { return s.seconds == 0 ? "" : fmt::format("{}s", s.seconds); },
             {"FitOptions::seconds"}});
  table.add({"seed",
             "N",
             "seed of a folder's split, first weights, order, random changes and dropout, 0 to 2^64-1",
             true,
             [](Settings& s, const std::string& t) { s.seed = parse_seed("seed", t); },
             [](const Settings& s) { return std::to_string(s.seed); },
             {"FitOptions::seed"}});
  constexpr std::int64_t kMostSeeds = 1000;
  table
      .number("seeds",
              "runs, with --seed and the seeds that follow it, each in a folder of its own, and what they "
              "have in common; default 1",
              1, kMostSeeds, &Settings::seeds)
      .get = [](const Settings& s) { return s.seeds == 1 ? "" : std::to_string(s.seeds); };
  table
      .choice("sampler", "KIND", "shuffled, or balanced: as many examples of each class in an epoch",
              {"shuffled", "balanced"}, &Settings::sampler)
      .fields = {"FitOptions::balanced"};
  table
      .number("accumulate", "batches of a step, whose gradients are averaged", 1, 1 << 20,
              &Settings::accumulate)
      .fields = {"FitOptions::accumulate"};
  table
      .choice("on-nan", "POLICY",
              "at a step that is not finite: stop; skip: leave it out, at most ten in a row; rollback: go "
              "back to "
              "the newest checkpoint and on with half the rate, at most five times",
              {"stop", "skip", "rollback"}, &Settings::on_nan)
      .fields = {"FitOptions::on_nan"};
  table
      .number(
          "patience",
          "end after N epochs without a better accuracy, on val/ beside test/ or else on the test set, and "
          "keep the best; 0: never",
          0, kMostCount, &Settings::patience)
      .fields = {"FitOptions::patience"};
}

void add_optimizer(Table& table) {
  table.add({"lr",
             "X",
             "learning rate, the highest of the schedule",
             false,
             [](Settings& s, const std::string& t) { s.lr = parse_rate("lr", t); },
             [](const Settings& s) { return fmt::format("{}", s.lr); },
             {"FitOptions::lr"}});
  table.choice("optimizer", "NAME", "sgd or adamw", {"sgd", "adamw"}, &Settings::optimizer).fields = {
      "FitOptions::optimizer"};
  table.real("momentum", "of sgd; 0: none", 0, kMostReal, &Settings::momentum).fields = {
      "SgdOptions::momentum"};
  table.yes_no("nesterov", "Nesterov's momentum", &Settings::nesterov).fields = {"SgdOptions::nesterov"};
  table.real("beta1", "of adamw: decay of the mean", 0, 1, &Settings::beta1).fields = {"AdamWOptions::beta1"};
  table.real("beta2", "of adamw: decay of the mean square", 0, 1, &Settings::beta2).fields = {
      "AdamWOptions::beta2"};
  table.add({"weight-decay",
             "X",
             "weight decay; default 0, of adamw 0.01",
             false,
             [](Settings& s, const std::string& t) {
               s.weight_decay =
                   t.empty() ? std::nullopt : std::optional(parse_real("weight-decay", t, 0, kMostReal));
             },
             [](const Settings& s) { return s.weight_decay ? fmt::format("{}", *s.weight_decay) : ""; },
             {"SgdOptions::weight_decay", "AdamWOptions::weight_decay"}});
  table.yes_no("decay-all", "weight decay also of norms and biases", &Settings::decay_all).fields = {
      "OptimizerOptions::decay_norms_and_biases"};
  table.real("clip-norm", "bound of the gradients' norm; 0: none", 0, kMostReal, &Settings::clip_norm)
      .fields = {"FitOptions::clip_norm"};
  table.text(
      "freeze", "PARTS",
      "parts that are not trained, with commas between, of torchvision's networks e.g. conv1,bn1,layer1",
      &Settings::freeze);
  table.real("lr-head", "factor of the learning rate of the last layer", 0, kMostReal, &Settings::lr_head);
  table.real("lr-norm-bias", "factor of the learning rate of the norms' biases", 0, kMostReal,
             &Settings::lr_norm_bias);
  table
      .text("lr-parts", "PART=X,...",
            "factors of the learning rate of parts, of torchvision's networks e.g. conv1=0.1,layer1=0.3",
            &Settings::lr_parts)
      .set = [](Settings& s, const std::string& t) {
    parse_factors("lr-parts", t);
    s.lr_parts = t;
  };
  Option& ema = table.real(
      "ema", "decay a step of the average of weights that is evaluated and saved; 0: none", 0, 1,
      [](auto& s) -> auto& { return s.average.decay; });
  ema.fields = {"AverageOptions::decay"};
}

void add_schedule(Table& table) {
  const std::vector<std::string> kinds = {"constant",  "step",       "cosine",
                                          "one-cycle", "polynomial", "triangular"};
  table.add({"schedule",
             "KIND",
             "of the learning rate: " + joined(kinds, ", ") + "; also onecycle, poly",
             true,
             [=](Settings& s, const std::string& t) {
               const std::string kind = t == "onecycle" ? "one-cycle" : t == "poly" ? "polynomial" : t;
               const auto at =
                   std::ranges::find(kinds, parse_choice("schedule", kind, kinds)) - kinds.begin();
               s.schedule.kind = static_cast<ScheduleKind>(at);
             },
             [=](const Settings& s) { return kinds.at(static_cast<std::size_t>(s.schedule.kind)); },
             {"ScheduleOptions::kind"},
             kinds});
  const auto add = [&](const std::string& name, const std::string& help, double most, auto member,
                       const std::string& field) {
    table
        .real(
            name, help, 0, most, [=](auto& s) -> auto& { return s.schedule.*member; })
        .fields = {"ScheduleOptions::" + field};
  };
  using O = ScheduleOptions;
  add("warmup", "epochs in which the rate rises, e.g. 0.5", kMostReal, &O::warmup_epochs, "warmup_epochs");
  add("lr-start", "factor of the rate where it begins to rise", kMostReal, &O::start, "start");
  add("lr-final", "factor of the rate at the end", kMostReal, &O::final, "final");
  add("lr-peak", "one-cycle, triangular: share of the steps at which the rate is highest", 1, &O::peak,
      "peak");
  add("lr-power", "polynomial: its power", kMostReal, &O::power, "power");
  add("lr-gamma", "step: factor of each fall", kMostReal, &O::gamma, "gamma");
  add("lr-every", "step: epochs between two falls", kMostReal, &O::every_epochs, "every_epochs");
  table.add({"low-momentum",
             "X",
             "one-cycle: momentum at the highest rate; default: it stays",
             false,
             [](Settings& s, const std::string& t) {
               s.schedule.low_momentum =
                   t.empty() ? std::nullopt : std::optional(parse_real("low-momentum", t, 0, 1));
             },
             [](const Settings& s) {
               return s.schedule.low_momentum ? fmt::format("{}", *s.schedule.low_momentum) : "";
             },
             {"ScheduleOptions::low_momentum"}});
}

void add_loss(Table& table) {
  table
      .real("label-smoothing", "share of each target that goes to all classes", 0, 1,
            &Settings::label_smoothing)
      .fields = {"LossOptions::label_smoothing"};
  table
      .choice("class-weights", "KIND",
              "of the loss: none, or auto: a rare class weighs more, examples / (classes * its own)",
              {"none", "auto"}, &Settings::class_weights)
      .fields = {"LossOptions::class_weights"};
  const std::vector<std::string> views = {"none", "flip", "flip-shift"};
  table.add(
      {"tta",
       "KIND",
       "test-time augmentation, of the evaluation at the end: none, flip (with mirror images) or flip-shift "
       "(by a pixel too); with --patience of all",
       true,
       [=](Settings& s, const std::string& t) {
         const auto at = std::ranges::find(views, parse_choice("tta", t, views)) - views.begin();
         s.views = static_cast<Views>(at);
       },
       [=](const Settings& s) { return views.at(static_cast<std::size_t>(s.views)); },
       {"FitOptions::views"},
       views});
}

void add_initialisation(Table& table) {
  table.text(
      "init", "FILE",
      "begin with the weights of a file, ours, torchvision's or timm's; a head of other classes begins anew",
      &Settings::init);
  Option& hash =
      table.text("init-sha256", "HEX", "sha256 of the weights that --init gave the run, in its config.toml",
                 &Settings::init_sha256);
  hash.flag = false;
  hash.set = [](Settings& s, const std::string& t) { s.init_sha256 = parse_sha256("init-sha256", t); };
  table.yes_no("dirac", "convolutions begin as the identity of as many channels as they can",
               &Settings::dirac);
  table.yes_no("zero-gamma", "the last norm of each block begins with weight 0", &Settings::zero_gamma);
  table.yes_no("whiten", "the first convolution whitens patches of the training set and is frozen",
               &Settings::whiten);
}

}  // namespace

void add_training(Table& table) {
  add_run(table);
  add_optimizer(table);
  add_schedule(table);
  add_loss(table);
  add_initialisation(table);
}

}  // namespace resnet::settings
