// The seam between training and what executes it: an engine runs steps of one network.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "resnet/graph.h"
#include "resnet/nn.h"
#include "resnet/tensor.h"

namespace resnet {

enum class Precision : std::uint8_t { f32, bf16 };

/// What activations are stored as; its name is the precision's.
constexpr DType storage_of(Precision precision) {
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

struct EngineOptions {
  int threads = 0;       // 0: what affinity and cgroup allow
  std::string isa = {};  // "": the strongest; "avx2", "avx512", "avx512_bf16": at most this
  Precision precision = Precision::f32;
  std::uint64_t seed = 0;  // of dropout
  bool fuse = true;        // false: every operation by itself (for tests and explanation)
};

/// What a training step reports, in train mode, before its update.
struct StepResult {
  double loss_sum = 0;       // nats, summed over the examples
  std::int64_t correct = 0;  // examples
};

/// One kernel call of a compiled step, with the wall time of its last run.
struct CallTime {
  std::string op, node, kernel;  // "conv2d_input_gradient", "1.0.conv1", "conv_input_gradient/winograd4x4"
  double flops = 0;              // of the direct algorithm, padding counted
  double bytes = 0;              // that its sweeps over its operands move
  double seconds = 0;
};

/// Named tensors in the public layout, in the order of PyTorch's state_dict.
using State = std::vector<std::pair<std::string, Tensor>>;

/// Runs one network: forward, backward, update. It takes views, not loaders, and nothing outside
/// needs to know which implementation it is. Images are f32 [N,C,H,W], labels i32 [N]; any N, C, H, W
/// that the network allows; a plan is compiled at the first use of a shape and kept.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Forward, backward and SGD update.
  virtual StepResult step(View<const float> images, View<const std::int32_t> labels, float lr) = 0;
  /// Forward and backward in train mode without update (running statistics do advance).
  virtual StepResult gradients(View<const float> images, View<const std::int32_t> labels) = 0;
  /// SGD with the gradients of the last gradients() call.
  virtual void apply(float lr) = 0;
  /// Evaluation mode: logits, or whatever the network gives.
  virtual Tensor infer(View<const float> images) = 0;

  /// Parameters, running statistics and counts.
  virtual State state() const = 0;
  /// Overwrites the values of that name; all must exist and fit. Throws ShapeError.
  virtual void set_state(const State& state) = 0;
  /// Gradients of the last gradients() call, by parameter.
  virtual State gradient_values() const = 0;

  /// "avx2", …, or "reference".
  virtual std::string isa() const = 0;
  virtual int threads() const = 0;
  /// Bytes of the arena (state and work), 0 if there is none.
  virtual std::int64_t arena_bytes() const = 0;
  /// The compiled plan for this shape as text: kernels, reasons, memory. Empty if there is none.
  virtual std::string describe(const Shape& images, Mode mode) = 0;
  /// step(), timed call by call in the order of describe(). Empty where there are no calls.
  virtual std::vector<CallTime> profile(View<const float> images, View<const std::int32_t> labels,
                                        float lr) = 0;
};

/// What an engine needs to know of a network: its graph in both modes for some batch size, and its
/// state. Networks that come from a model file have no training graph.
struct Network {
  graph::Graph eval;
  std::optional<graph::Graph> train;
  State state;
};

/// Traces a module for images [N,C,H,W]; its parameters must be set (init() does).
Network network_of(const nn::Module& module, const Shape& images);

/// The module's parameters and buffers by name; all must be set.
State state_of(const nn::Module& module);
/// Puts values into the module by name and marks them as set; names that it has not are an error, what
/// is not named stays as it is. Nothing changes if anything does not fit. Throws ShapeError.
void set_state(nn::Module& module, const State& state);

/// Throws ConfigError if this machine cannot run what the options ask for.
void check(const EngineOptions& options);

/// The fast engine. Throws ConfigError if the machine cannot run what the options ask for.
std::unique_ptr<Engine> make_native_engine(Network network, const EngineOptions& options = {});
/// The oracle: the same graph, unfused, in double, one readable kernel at a time.
std::unique_ptr<Engine> make_reference_engine(Network network, const EngineOptions& options = {});

/// y = module(x) once, on the native engine. Unset parameters are initialised first (the module's own
/// scheme, seed 0); set ones are never touched. Mode::train uses batch statistics and leaves the running
/// ones alone. The compiled plan is kept with the module's graph and shape for the next call.
Tensor forward(nn::Module& module, const Tensor& x, Mode mode = Mode::eval);

}  // namespace resnet
