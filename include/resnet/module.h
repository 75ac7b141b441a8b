// The base of all modules: the parts of a network. A module owns named parameters in PyTorch's layout and
// order and builds graph when it is called; it holds no maths. Several threads may read one (trace it, copy
// its state) while none changes it (init, load_weights, set_state, fit).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "resnet/functional.h"
#include "resnet/graph.h"
#include "resnet/tensor.h"

namespace resnet::nn {

/// Pixels, {height, width}; one number means square.
struct Size2 {
  std::int64_t height, width;
  Size2(std::int64_t side)
      : height(side), width(side) {}  // NOLINT(google-explicit-constructor): `.kernel = 3`
  Size2(std::int64_t h, std::int64_t w) : height(h), width(w) {}
};

/// What a parameter or buffer is, for its initialisation.
enum class ParameterKind : std::uint8_t {
  weight,           // of a convolution [Co,Ci/groups,Kh,Kw] or a linear layer [out,in]
  bias,             // of either
  norm_weight,      // 1
  norm_bias,        // 0
  running_mean,     // 0
  running_var,      // 1
  batches_tracked,  // i64 scalar, 0
};

/// A tensor of a module, and what it is for.
struct Parameter {
  std::string name;  // within its module, e.g. "weight"
  ParameterKind kind = ParameterKind::weight;
  Shape shape;
  std::int64_t fan_in = 0;               // of the layer: inputs that one output sums over
  std::optional<double> deviation = {};  // of a normal initialisation in place of the scheme's
  Tensor value;                          // empty until set
  bool set = false;
};

/// How unset parameters are initialised; every number depends on (seed, parameter's name, index) alone.
/// "The chapter" is Dive into Deep Learning, section "Residual Networks (ResNet)".
///   chapter      weights Xavier uniform; biases uniform within 1/sqrt(fan_in)
///   torchvision  convolutions Kaiming normal (fan-out, ReLU); linear layers and biases uniform within
///                1/sqrt(fan_in)
enum class Scheme : std::uint8_t { chapter, torchvision };

/// Base of all modules. Movable, not copyable; children stay at their addresses when it moves, so a
/// person's own module may hold references to what add() gave it. A module takes one value and gives one,
/// as training, summary and model files know one input and one output; inside operator() it may use as
/// many values as it likes (Residual does).
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(Module&&) noexcept = default;
  Module& operator=(Module&&) noexcept = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Appends this module to the graph of `x`. Throws ShapeError if it does not fit.
  virtual Value operator()(Value x) const = 0;
  /// The class, as PyTorch prints it.
  virtual std::string kind() const { return "Module"; }

  /// A module within a module, by its name in paths.
  struct Child {
    std::string name;
    std::unique_ptr<Module> module;
  };
  const std::vector<Child>& children() const noexcept { return children_; }
  std::vector<Parameter>& parameters() noexcept { return parameters_; }
  const std::vector<Parameter>& parameters() const noexcept { return parameters_; }

  /// Name of the whole network in reports, and the scheme that initialises it.
  const std::string& title() const noexcept { return title_; }
  Scheme scheme() const noexcept { return scheme_; }
  void set_title(std::string title) { title_ = std::move(title); }
  void set_scheme(Scheme scheme) noexcept { scheme_ = scheme; }

 protected:
  /// Takes a child under a name; gives it at its lasting address. Throws ConfigError if the name is
  /// empty, taken, or has a dot.
  template <class M>
  M& add(std::string name, M module) {
    check_child_name(name);
    auto owned = std::make_unique<M>(std::move(module));
    M& reference = *owned;
    children_.push_back({std::move(name), std::move(owned)});
    return reference;
  }
  void add_parameter(std::string name, ParameterKind kind, const Shape& shape, std::int64_t fan_in = 0);
  /// The graph value of a parameter, by its place in the order of adding. Throws ConfigError if there is
  /// none, or this module is not part of the network that is being built.
  graph::ValueId parameter_value(graph::Builder& builder, std::size_t index) const;
  /// Name of the node that this module makes of `x`: its path in the network; for the network itself,
  /// or a module without a place in it, its class.
  std::string node_name(Value x) const;

 private:
  void check_child_name(const std::string& name) const;

  std::vector<Child> children_;
  std::vector<Parameter> parameters_;
  std::string title_ = "custom";
  Scheme scheme_ = Scheme::chapter;
};

}  // namespace resnet::nn
