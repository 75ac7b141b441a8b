#include <fmt/core.h>

#include <cmath>
#include <ostream>

#include "resnet/train.h"

namespace resnet {

std::ostream& operator<<(std::ostream& out, const FitResult& result) {
  const auto figure = [](double value) {
    return std::isnan(value) ? "not measured" : fmt::format("{:.3f}", value);
  };
  const std::string rate = std::isnan(result.examples_per_second)
                               ? "examples/sec not measured"
                               : fmt::format("{:.1f} examples/sec", result.examples_per_second);
  return out << fmt::format("loss {}, train acc {}, test acc {}\n{} on {}\n", figure(result.loss),
                            figure(result.train_acc), figure(result.test_acc), rate, result.device);
}

}  // namespace resnet
