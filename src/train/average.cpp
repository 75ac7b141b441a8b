#include "train/average.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/named.h"
#include "compiler/optimizer.h"
#include "graph/names.h"

namespace resnet::train {

std::int64_t average_updates(const AverageOptions& options, std::int64_t from, std::int64_t to) {
  return options.decay > 0 ? to / options.every - from / options.every : 0;
}

float average_share(const AverageOptions& options, std::int64_t step, std::int64_t updates) {
  if (average_updates(options, step - 1, step) == 0) return 0;
  if (updates == 0) return 1;
  const auto n = static_cast<double>(updates + 1);
  const double kept = std::min(std::pow(options.decay, static_cast<double>(options.every)), n / (n + 9));
  return static_cast<float>(1 - kept);
}

State take_average(State& all) {
  State others, averages, average;
  for (auto& value : all) (compiler::is_average(value.first) ? averages : others).push_back(std::move(value));
  all = std::move(others);
  if (averages.empty()) return average;
  for (const auto& [name, tensor] : all) {
    if (graph::is_reserved(name)) continue;
    auto& value = average.emplace_back(name, tensor);
    if (Tensor* const found = find_named(averages, compiler::average_name(name)))
      value.second = std::move(*found);
  }
  return average;
}

State with_average(State all, State average, const Engine& engine) {
  if (average.empty()) return all;
  const State kept = engine.state(StateScope::all);
  for (auto& value : average) {
    std::string own = compiler::average_name(value.first);
    if (find_named(kept, own) != nullptr) all.emplace_back(std::move(own), std::move(value.second));
  }
  return all;
}

}  // namespace resnet::train
