#include <fmt/core.h>

#include "settings/option_table.h"

namespace resnet::settings {

void add_training(Table& table) {
  table.number("batch-size", "examples of a step", 1, 1 << 20, &Settings::batch_size).fields = {
      "FitOptions::batch_size", "EvaluateOptions::batch_size"};
  table.number("epochs", "passes over the training set", 1, kMostCount, &Settings::epochs).fields = {
      "FitOptions::epochs"};
  table.number("steps", "stop after N steps over all epochs; 0: never", 0, kMostCount, &Settings::steps)
      .fields = {"FitOptions::steps"};
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

}  // namespace resnet::settings
