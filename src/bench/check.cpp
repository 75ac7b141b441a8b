#include "bench/check.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <limits>
#include <utility>

#include "base/named.h"
#include "bench/batches.h"
#include "compiler/training.h"
#include "graph/names.h"
#include "ops/dropout.h"

namespace resnet::bench {
namespace {

constexpr std::uint64_t kNoisyRuns = 2;

engine::Values values_of(const Tensor& tensor) {
  return {tensor.values().begin(), tensor.values().end()};
}

/// l2; of a, where b is empty.
double distance(const engine::Values& a, const engine::Values& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = a[i] - (b.empty() ? 0.0 : b[i]);
    squares += d * d;
  }
  return std::sqrt(squares);
}

/// The gradients of an engine's first step, or the output of an evaluation, by name.
engine::NamedValues run(const Network& network, const data::Batch& batch, Work work, std::uint64_t seed,
                        engine::Noise noise) {
  engine::NamedValues state;
  for (const auto& [name, tensor] : network.state) {
    if (tensor.dtype() == DType::f32) state[name] = values_of(tensor);
  }
  const auto labels = batch.labels.view<std::int32_t>().span();
  const engine::NamedValues inputs = {{graph::kImages, values_of(batch.images)},
                                      {graph::kSeedStep, ops::seed_step_operand(seed, 0)},
                                      {compiler::kLabels, {labels.begin(), labels.end()}}};
  if (work == Work::infer) return engine::interpret(network.eval, inputs, state, noise);
  engine::interpret(compiler::training_step(*network.train, compiler::StepKind::gradients), inputs, state,
                    noise);
  return state;
}

/// Noise at every node, how many times the larger of two runs under it is accepted, and what of a tensor's
/// size never is: nothing that is missing or of the wrong sign (bf16: of the wrong sign) passes where the
/// network amplifies the noise to that.
struct Rounding {
  double noise, factor, most;
};
// As the zoo's tests: sums of products in f32 are off by a few 2^-24 of their size, Winograd's by up to
// 2^-20. Numbers stored as bf16 are by 2^-9 on average, which turns so many gates that few runs show what
// they do.
// Those of tf32 by 2^-12.
Rounding rounding_of(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return {0x1p-9, 1.5, 1.5};
    case Precision::tf32:
      return {0x1p-12, 1.5, 1.5};
    default:
      return {0x1p-20, 4, 0.25};
  }
}

// As quiet_branches(), of the module at `path`.
void quiet(const nn::Module& module, const std::string& path, Network& network) {
  constexpr float kFactor = 0.1F;
  const auto* const block = dynamic_cast<const nn::ResidualBlock*>(&module);
  for (const nn::Module::Child& child : module.children()) {
    const std::string name = path + child.name + '.';
    const bool ends = block != nullptr && block->branch_end() == child.module.get();
    if (Tensor* const weight = ends ? find_named(network.state, name + "weight") : nullptr) {
      for (float& value : weight->values()) value *= kFactor;
    }
    quiet(*child.module, name, network);
  }
}

}  // namespace

void quiet_branches(const nn::Module& net, Network& network) {
  quiet(net, "", network);
}

Oracle::Oracle(const Network& network, const Shape& images, std::int64_t classes, Work work,
               const std::vector<Precision>& precisions, bool parallel, std::uint64_t seed)
    : batch_(make_batch(images, classes, 0)), work_(work) {
  const auto asked = [&](engine::Noise noise) {
    return std::async(parallel ? std::launch::async : std::launch::deferred,
                      [this, &network, seed, noise] { return run(network, batch_, work_, seed, noise); });
  };
  auto exact = asked({});
  std::vector<std::pair<Precision, std::future<engine::NamedValues>>> noisy;
  // What rounding may do to each tensor is measured, by running the oracle itself under noise of its size.
  for (const Precision precision : precisions) {
    for (std::uint64_t i = 1; i <= kNoisyRuns; ++i)
      noisy.emplace_back(precision, asked({rounding_of(precision).noise, i}));
  }
  exact_ = exact.get();
  for (auto& [precision, values] : noisy) noisy_[precision].push_back(values.get());
}

Check Oracle::check(Engine& engine, Precision precision) const {
  engine::NamedValues actual;
  if (work_ == Work::infer) {
    actual[graph::kOutput] = values_of(engine.infer(batch_.view()));
  } else {
    engine.gradients(batch_.view(), batch_.labels.view<std::int32_t>());
    for (const auto& [name, gradient] : engine.gradient_values())
      actual[compiler::gradient_name(name)] = values_of(gradient);
  }
  const Rounding rounding = rounding_of(precision);
  double largest = 0;
  for (const auto& [name, values] : actual) {
    if (const auto found = exact_.find(name); found != exact_.end())
      largest = std::max(largest, distance(found->second, {}));
  }
  // Whatever is not a number is worst; what is equal is best, where nothing is allowed either.
  const auto excess = [](const Check& c) {
    if (std::isnan(c.difference)) return std::numeric_limits<double>::infinity();
    return c.difference <= 0 ? 0 : c.difference / c.tolerance;
  };
  Check worst;
  for (const auto& [name, values] : actual) {
    const auto found = exact_.find(name);
    if (found == exact_.end()) continue;  // zero by algebra
    const engine::Values& expected = found->second;
    // Tensors of next to nothing are measured by the largest.
    const double size = std::max(distance(expected, {}), 1e-3 * largest);
    double noise = 0;
    for (const engine::NamedValues& moved : noisy_.at(precision))
      noise = std::max(noise, distance(moved.at(name), expected));
    const Check check = {distance(values, expected) / size,
                         std::min(rounding.factor * noise / size, rounding.most), name};
    if (worst.tensor.empty() || excess(check) > excess(worst)) worst = check;
  }
  return worst;
}

Check check_against_reference(const nn::Module& net, const Shape& images, std::int64_t classes, Work work,
                              const EngineOptions& options) {
  constexpr std::int64_t kMostImages = 8;  // the oracle is slow
  const Shape small{std::min(images[0], kMostImages), images[1], images[2], images[3]};
  Network network = network_for(net, small, work);
  if (options.precision != Precision::f32) quiet_branches(net, network);
  const auto engine = make_engine(network, options);
  return check_against_reference(*engine, network, small, classes, work, options.precision, options.seed);
}

Check check_against_reference(Engine& engine, const Network& network, const Shape& images,
                              std::int64_t classes, Work work, Precision precision, std::uint64_t seed) {
  return Oracle(network, images, classes, work, {precision}, false, seed).check(engine, precision);
}

}  // namespace resnet::bench
