#include "train/average.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>

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
  std::map<std::string, Tensor> averages;
  for (auto& [name, tensor] : all) {
    if (compiler::is_average(name)) averages.emplace(name, std::move(tensor));
  }
  State average;
  if (averages.empty()) return average;
  std::erase_if(all, [](const auto& value) { return compiler::is_average(value.first); });
  for (const auto& [name, tensor] : all) {
    if (graph::is_reserved(name)) continue;
    const auto found = averages.find(compiler::average_name(name));
    if (found == averages.end()) {
      average.emplace_back(name, tensor);
    } else {
      average.emplace_back(name, std::move(found->second));
    }
  }
  return average;
}

State with_average(State all, State average, const Engine& engine) {
  if (average.empty()) return all;
  std::set<std::string> kept;
  for (const auto& [name, tensor] : engine.state(StateScope::all)) kept.insert(name);
  for (auto& value : average) {
    std::string own = compiler::average_name(value.first);
    if (kept.contains(own)) all.emplace_back(std::move(own), std::move(value.second));
  }
  return all;
}

}  // namespace resnet::train
