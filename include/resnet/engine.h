// The seam between training and what executes it: an engine runs steps of one network.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "resnet/device.h"
#include "resnet/graph.h"
#include "resnet/image_view.h"
#include "resnet/loss.h"
#include "resnet/memory.h"
#include "resnet/nn.h"
#include "resnet/optimizer.h"
#include "resnet/tensor.h"

namespace resnet {

/// What activations are stored as and multiplied in. f32 is exact: nothing is rounded before it is
/// multiplied. tf32, of GPUs alone: stored as f32, rounded to 11 bits where convolutions and linear layers
/// multiply.
enum class Precision : std::uint8_t { f32, bf16, tf32 };

/// "f32", "bf16", "tf32".
constexpr std::string_view name_of(Precision precision) {
  constexpr std::array<std::string_view, 3> kNames = {"f32", "bf16", "tf32"};
  return kNames.at(static_cast<std::size_t>(precision));
}

/// What activations are stored as.
constexpr DType storage_of(Precision precision) {
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

struct EngineOptions {  // how an engine computes
  /// On what, for make_engine() and make_inference_engine():
  ///   "cpu"             the processor
  ///   "cuda", "cuda:1"  this NVIDIA GPU ("cuda": the first), or a ConfigError with what is missing
  ///   "auto"            the first GPU that can be used and has the memory for images as the network was
  ///                     traced for; else the processor, and DeviceInfo::reason says why
  /// The GPU's code is a library of its own, which is loaded at run time (docs/gpu.md).
  std::string device = "cpu";
  int threads = 0;       // 0: OMP_NUM_THREADS, else the cores that affinity and control groups leave
  std::string isa = {};  // "": the strongest; "avx2", "avx512", "avx512_bf16": at most this; of the processor
  Precision precision = Precision::f32;
  std::uint64_t seed = 0;  // of dropout
  bool fuse = true;        // false: every operation by itself (for tests and explanation)
  OptimizerOptions optimizer = {};
  LossOptions loss = {};
  std::int64_t memory = 0;  // bytes of this process that may be resident; what needs more is refused before
                            // it begins (MemoryError). 0: what the machine and its control group have
};

/// What a training step reports, in train mode, before its update.
struct StepResult {
  double loss_sum = 0;       // nats: the loss (LossOptions) times the number of examples
  std::int64_t correct = 0;  // examples taken for their label, a mixed one for that of the larger weight
};

/// Named tensors in the public layout, in the order of PyTorch's state_dict.
using State = std::vector<std::pair<std::string, Tensor>>;

/// How much of an engine's state is meant.
enum class StateScope : std::uint8_t {
  network,  // parameters, running statistics, counts of batches: what a model file holds
  all,      // everything that later steps depend on; besides the network's values
            //   optimizer/<slot>/<parameter>   what the optimiser remembers (resnet/optimizer.h)
            //   engine/steps     i64: training steps so far, from which dropout draws its numbers
            //   engine/updates   i64: updates so far, which momentum and AdamW count
};

/// A gradient in the engine's own memory. Its elements are in the engine's own order, which is the same for
/// all engines of one kind and network: sums over processes, factors and norms need no other.
struct GradientSpan {
  std::string name;  // of the parameter
  std::span<float> values;
};

/// Where numbers of a step became NaN or infinite: the first place in the order of its operations.
struct NonFinite {
  enum class Place : std::uint8_t {
    images,    // what the step was given
    state,     // `name`, a value of state(StateScope::all), before the step
    output,    // of a layer, or the loss
    gradient,  // in a layer, on the way back
    update     // `name`, a value of state(StateScope::all), after the step
  };
  Place place = Place::output;
  std::string name;       // path of the layer, name of the value
  std::string operation;  // "conv2d", where it is known
  bool nan = true;        // false: infinite
};

/// "the output of layer1.0.conv1 (conv2d) is not a number (NaN)".
std::string to_string(const NonFinite& found);

/// Runs one network: forward, backward, update. It takes views, not loaders, and nothing outside needs to
/// know which implementation it is. Images are f32 of shape [N,C,H,W], a view of a tensor of that shape or
/// ImageView::nhwc() of one [N,H,W,C], with the same results; labels are i32 [N]. Every implementation
///   - takes any N, C, H, W that the network allows, compiling at the first use of a shape what it needs. The
///     native engine keeps the 16 plans used last, each for one shape, mixed or not, and step(), gradients()
///     or infer(), and prepared weights for the last plan alone: an engine for each shape spares those that
///     take turns;
///   - throws MemoryError where a step needs more memory than there is, with its state as it was before;
///   - throws ShapeError for images and labels that do not fit, with its state as it was before;
///   - gives the same bits for the same network, options and calls, for any number of threads;
///   - does in step() what gradients() followed by apply() do, bit for bit;
///   - keeps an average of its state where OptimizerOptions::average asks for one;
///   - goes on bit for bit from a state(StateScope::all) that set_state() restores, in itself or in another
///     engine of its kind, network and options;
///   - changes nothing in infer(), state() and the other functions that only return something;
///   - may be called from several threads: a call waits for the one that is under way. Of two that change its
///     state at once (step(), gradients(), apply(), set_state(), swap_average()) the second throws Error and
///     changes nothing. Gradient spans are memory that no call guards;
///   - works in a child of fork(), unless another thread's call was under way: then every call throws Error.
///     One on a GPU does not: every call of a child throws Error.
/// One on a GPU throws DeviceError where that fails while it computes; its state is lost then.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Forward, backward and update.
  virtual StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) = 0;
  /// Forward and backward in train mode without update (running statistics do advance). The gradients g, of the
  /// batch's loss, stay until the next call. With a share below 1 those that there are, k, become
  /// k + share * (g - k): the last n of N examples have the share n / N of the mean over all. Throws ConfigError
  /// for a share that is not above 0 and at most 1, and for one below 1 if there are no gradients.
  virtual StepResult gradients(const ImageView& images, const Targets& targets, float share = 1) = 0;
  /// Update with the gradients that gradients() left. Throws ConfigError if there was none. It and
  /// step() throw ConfigError for a momentum or an average where the optimiser has none.
  virtual void apply(const StepInputs& inputs) = 0;
  /// Evaluation mode: logits, or whatever the network gives.
  virtual Tensor infer(const ImageView& images) = 0;

  /// Copies; in f32 but where the engine computes in f64 and the scope is `all`.
  virtual State state(StateScope scope = StateScope::network) const = 0;
  /// Overwrites the values of these names, whatever their scope; all others stay. Throws ShapeError if one
  /// does not exist or does not fit, and changes nothing then.
  virtual void set_state(const State& state) = 0;
  /// Exchanges the parameters and running statistics for their average: what infer() and state() give then is
  /// of the average. Once more, and all is as before. Throws ConfigError without OptimizerOptions::average. This
  /// one goes by way of state() and set_state(), where an engine does not know better.
  virtual void swap_average();

  /// Copies of the gradients that gradients() left, by parameter, in the public layout; of frozen ones they are
  /// zero. Throws ConfigError if there are none.
  virtual State gradient_values() const = 0;
  /// These gradients themselves: apply() takes what is written here, and so does gradients() with a share.
  /// Without those that are zero by algebra (a bias in front of a batch norm). Void after the next call but of
  /// apply(). Throws ConfigError if there are none.
  virtual std::vector<GradientSpan> gradient_spans() = 0;

  /// Whether all of state(StateScope::all) is finite: after a step with a gradient that is not, it is not.
  /// The native engine has seen it in its updates, so that asking after every step costs next to nothing;
  /// others look at a copy.
  virtual bool finite() const;
  /// step() for a diagnosis, slowly: where the first number that is not finite comes from, if any does. The
  /// state is void afterwards: set_state() all of it to go on.
  virtual std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                                  const StepInputs& inputs);

  virtual DeviceInfo device() const = 0;
};

/// One kernel call of a compiled step, with the wall time of its last run.
struct CallTime {
  std::string op, node, kernel;  // "conv2d_input_gradient", "1.0.conv1", "conv_input_gradient/winograd4x4"
  double flops = 0;              // of the direct algorithm, padding counted
  double bytes = 0;              // that its sweeps over its operands move
  double seconds = 0;
};

/// What an engine does with images: step(), gradients() with apply(), or infer().
enum class Work : std::uint8_t { step, gradients, infer };

/// An engine that compiles its steps into plans: what tools that explain and measure it ask besides.
class PlannedEngine : public Engine {
 public:
  /// The plan of step() or infer() for this shape: kernels, reasons, memory.
  virtual std::string plan_text(const Shape& images, Mode mode) = 0;
  /// step(), timed call by call in the order of the plan.
  virtual std::vector<CallTime> profile(const ImageView& images, const Targets& targets,
                                        const StepInputs& inputs) = 0;
  /// Bytes of the arena: state and work.
  virtual std::int64_t arena_bytes() const = 0;
  /// What this work needs of the arena, which is not made for it yet. `mixed`: with Targets::mixed_labels.
  /// What was asked for so is taken at once, where there is so much, by the first call that needs any of it.
  virtual ArenaBytes planned_bytes(const Shape& images, Work work, bool mixed = false) = 0;
  /// SHA-256 of the kernels that this work is done by, 64 digits: beside device() what the bits of its
  /// results follow from.
  virtual std::string plan_sha256(const Shape& images, Work work, bool mixed = false) = 0;
  /// EngineOptions::memory.
  virtual std::int64_t memory() const = 0;
  /// Bytes that are free on a device with a memory of its own, in which the arena lies; none: it lies in the
  /// process's.
  virtual std::optional<std::int64_t> device_memory_left() const { return std::nullopt; }
};

/// What an engine needs to know of a network: its graph in both modes for some batch size, and its
/// state. Networks that come from a model file have no training graph.
struct Network {
  graph::Graph eval;
  std::optional<graph::Graph> train;
  State state;
};

/// Traces a module for images [N,C,H,W]; its parameters must be set (init() does), else ConfigError.
Network network_of(const nn::Module& module, const Shape& images);

/// The module's parameters and buffers by name; all must be set, else ConfigError.
State state_of(const nn::Module& module);
/// Puts values into the module by name and marks them as set; names that it has not are an error, what
/// is not named stays as it is. Nothing changes if anything does not fit. Throws ShapeError.
void set_state(nn::Module& module, const State& state);

/// Throws ConfigError if this machine cannot run what the options ask for; DeviceError where the GPU that
/// they name fails or is another process's.
void check(const EngineOptions& options);

/// The fast engine of the CPU, whatever EngineOptions::device says. Throws ConfigError if the machine cannot
/// run what the options ask for.
std::unique_ptr<PlannedEngine> make_native_engine(Network network, const EngineOptions& options = {});
/// The fast engine for answers alone. Any number of threads may call infer(), and as many calls as the
/// machine has cores for (usable cores / EngineOptions::threads, at least one) run at the same time, others
/// wait for their turn. Weights, plans and what kernels prepare of the weights are there once; threads and
/// memory for activations each call under way has for itself, and they are kept for the next. Answers have
/// the bits that make_native_engine() gives. The state stays: what trains or changes it throws ConfigError. A
/// child of fork() goes on with what was not in use. On a GPU calls take turns, and a child has none.
std::unique_ptr<PlannedEngine> make_inference_engine(Network network, const EngineOptions& options = {});
/// The oracle: the same graph, unfused, in double, one readable kernel at a time.
std::unique_ptr<Engine> make_reference_engine(Network network, const EngineOptions& options = {});

/// Makes an engine for a network.
using EngineFactory = std::function<std::unique_ptr<Engine>(Network, const EngineOptions&)>;
/// The fast engine of EngineOptions::device. Throws as check().
std::unique_ptr<PlannedEngine> make_engine(Network network, const EngineOptions& options = {});

/// y = module(x), with what is compiled for the shape of x kept for the next call. Unset parameters are
/// initialised first (the module's own scheme, seed 0); set ones are copied at every call and never touched
/// (for many pictures make a Model).
/// Mode::train uses batch statistics and leaves the running ones alone. The module outlives it, and keeps its
/// children. Several threads may call it, their calls take turns, as long as none changes the module; so may
/// those that call a Forward each, once all parameters are set.
class Forward {
 public:
  explicit Forward(nn::Module& module, Mode mode = Mode::eval, EngineOptions options = {});
  ~Forward();
  Forward(Forward&&) noexcept;
  Forward& operator=(Forward&&) noexcept;
  Tensor operator()(const Tensor& x);

 private:
  struct Kept;

  nn::Module* module_;
  Mode mode_;
  EngineOptions options_;
  std::unique_ptr<Kept> kept_;
};

/// y = module(x) once: Forward(module, mode)(x).
Tensor forward(nn::Module& module, const Tensor& x, Mode mode = Mode::eval);

}  // namespace resnet
