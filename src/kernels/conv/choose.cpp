// Which algorithm computes a convolution: the cheapest of those that serve it.
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/conv/direct/direct.h"
#include "kernels/conv/grouped/grouped.h"
#include "kernels/conv/winograd/winograd.h"
#include "resnet/error.h"

namespace resnet::kernels {

std::span<const ConvAlgorithm* const> conv_algorithms() noexcept {
  static const std::vector<const ConvAlgorithm*> list = [] {
    std::vector<const ConvAlgorithm*> all = {&conv::direct_algorithm()};
    for (const ConvAlgorithm* algorithm : conv::winograd_algorithms()) all.push_back(algorithm);
    all.push_back(&conv::grouped_algorithm());
    return all;
  }();
  return list;
}

ConvChoice choose_conv(const ConvGeometry& g, ConvPass pass, ConvStorage storage) {
  check_conv(g);
  const ConvAlgorithm* const direct = conv_algorithms().front();
  const std::span<const ConvAlgorithm* const> others = conv_algorithms().subspan(1);
  struct Candidate {
    const ConvAlgorithm* algorithm;
    double relative;  // to the direct cost
  };
  std::vector<Candidate> candidates;
  for (const ConvAlgorithm* algorithm : others) {
    if (algorithm->serves(g, pass, storage))
      candidates.push_back({algorithm, algorithm->cost(g, pass, storage) / direct->cost(g, pass, storage)});
  }
  if (candidates.empty()) {
    const std::string_view refused = direct->refusal(g, pass, storage);
    if (!refused.empty()) throw ShapeError(fmt::format("convolution: {}", refused));
    return {direct, fmt::format("direct: {}", others.front()->refusal(g, pass, storage))};
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::relative);
  const auto [best, relative] = candidates.front();
  if (relative >= 1 && direct->serves(g, pass, storage))
    return {direct, fmt::format("direct: {} would cost {:.2f} times as much", best->name(), relative)};
  std::string reason = fmt::format("{} at {:.2f} of the direct cost", best->name(), relative);
  for (std::size_t i = 1; i < candidates.size(); ++i)
    reason += fmt::format("; {} {:.2f}", candidates[i].algorithm->name(), candidates[i].relative);
  return {best, std::move(reason)};
}

}  // namespace resnet::kernels
