// An engine beside the oracle in double.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "engine/interpreter.h"

namespace resnet::bench {

/// Of the tensor that comes nearest to its tolerance, or exceeds it most.
struct Check {
  double difference = 0;  // l2, relative to the oracle's
  double tolerance = 0;  // a few times what the oracle itself moves under noise of the precision, and bounded
  std::string tensor;
  bool passed() const noexcept { return difference <= tolerance; }
};

/// The oracle's gradients of a step, or its output of an evaluation, exact and under noise of the size of
/// each precision's rounding.
class Oracle {
 public:
  /// `parallel`: its runs, one and two for each precision, take a thread each, and memory for all of them.
  /// `seed`: EngineOptions::seed.
  Oracle(const Network& network, const Shape& images, std::int64_t classes, Work work,
         const std::vector<Precision>& precisions, bool parallel, std::uint64_t seed = 0);

  /// The engine is of the same network and seed and one of these precisions, and has made no step.
  Check check(Engine& engine, Precision precision) const;

 private:
  data::Batch batch_;
  Work work_;
  engine::NamedValues exact_;
  std::map<Precision, std::vector<engine::NamedValues>> noisy_;
};

/// Multiplies what the branches of `net`'s residual blocks end with by a tenth, in the state of a `network` that was
/// made of it. At their full size a deep network turns the rounding of bf16 into gradients of its first layers that
/// have nothing to do with the exact ones, and no engine could pass; the plans are the same.
void quiet_branches(const nn::Module& net, Network& network);

/// On at most eight of the images; in bf16 and tf32 with quiet branches.
Check check_against_reference(const nn::Module& net, const Shape& images, std::int64_t classes, Work work,
                              const EngineOptions& options);
/// The same of an engine that the caller made of `network` with this seed, on all of the images.
Check check_against_reference(Engine& engine, const Network& network, const Shape& images,
                              std::int64_t classes, Work work, Precision precision, std::uint64_t seed = 0);

}  // namespace resnet::bench
