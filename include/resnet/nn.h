// Modules: the parts of a network. A module owns named parameters in PyTorch's layout and order and
// builds graph when it is called; it holds no maths. Several threads may read one (trace it, copy its state)
// while none changes it (init, load_weights, set_state, fit).
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "resnet/functional.h"
#include "resnet/graph.h"
#include "resnet/tensor.h"

namespace resnet {

namespace nn {

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

struct Parameter {
  std::string name;  // within its module, e.g. "weight"
  ParameterKind kind = ParameterKind::weight;
  Shape shape;
  std::int64_t fan_in = 0;  // of the layer: inputs that one output sums over
  Tensor value;             // empty until set
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
  /// The graph value of a parameter, by its place in the order of adding. Throws ConfigError if this
  /// module is not part of the network that is being built.
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

struct Conv2dOptions {
  Size2 kernel = 3;    // pixels
  Size2 stride = 1;    // pixels
  Size2 padding = 0;   // zero pixels per side; at most max(H or W of x, dilation * (kernel - 1))
  Size2 dilation = 1;  // pixels between taps
  std::int64_t groups = 1;
  bool bias = true;
};

/// Cross-correlation: x [N,Ci,H,W] f32 -> y [N,Co,Ho,Wo] f32,
/// Ho = floor((H + 2*padding - dilation*(kernel - 1) - 1) / stride) + 1.
/// Throws ConfigError for impossible options, ShapeError if x has another number of channels than `in`.
/// Source: Goodfellow et al., Deep Learning, equation 9.6.
class Conv2d : public Module {
 public:
  Conv2d(std::int64_t in, std::int64_t out, Conv2dOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "Conv2d"; }

 private:
  Conv2dOptions options_;
};

struct BatchNorm2dOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // weight of the newest batch in the running statistics
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias over N, H, W of each channel; x and y [N,C,H,W].
/// Training uses the batch's biased variance and keeps the unbiased one in the running estimate.
/// Throws ShapeError for another number of channels, or one value per channel when training.
/// Source: Ioffe and Szegedy, arXiv 1502.03167.
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(std::int64_t channels, BatchNorm2dOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "BatchNorm2d"; }

 private:
  BatchNorm2dOptions options_;
};

/// max(x, 0).
class ReLU : public Module {
 public:
  Value operator()(Value x) const override;
  std::string kind() const override { return "ReLU"; }
};

/// 1 / (1 + exp(-x)).
class Sigmoid : public Module {
 public:
  Value operator()(Value x) const override;
  std::string kind() const override { return "Sigmoid"; }
};

/// x sigmoid(x).
class SiLU : public Module {
 public:
  Value operator()(Value x) const override;
  std::string kind() const override { return "SiLU"; }
};

/// x Phi(x), exact.
class GELU : public Module {
 public:
  Value operator()(Value x) const override;
  std::string kind() const override { return "GELU"; }
};

struct PoolOptions {
  Size2 kernel = 2;           // pixels
  Size2 stride = 2;           // pixels
  Size2 padding = 0;          // pixels per side, at most half the kernel
  bool count_padding = true;  // average only: divide by the whole window always, as PyTorch's default
};

/// Maximum of each window: x [N,C,H,W] -> y [N,C,Ho,Wo], Ho = floor((H + 2*padding - kernel) / stride) + 1.
class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(PoolOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "MaxPool2d"; }

 private:
  PoolOptions options_;
};

/// Average of each window; shapes as MaxPool2d.
class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(PoolOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "AvgPool2d"; }

 private:
  PoolOptions options_;
};

/// Average over the whole map: x [N,C,H,W] -> y [N,C,1,1]; PyTorch's AdaptiveAvgPool2d((1, 1)).
class GlobalAvgPool2d : public Module {
 public:
  Value operator()(Value x) const override;
  std::string kind() const override { return "AdaptiveAvgPool2d"; }
};

/// x [N,C,H,W] -> y [N,C*H*W].
class Flatten : public Module {
 public:
  Value operator()(Value x) const override;
  std::string kind() const override { return "Flatten"; }
};

struct LinearOptions {
  bool bias = true;
};

/// y = x W^T + b: x [N,in] -> y [N,out].
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, LinearOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "Linear"; }

 private:
  LinearOptions options_;
};

/// Training: each element is 0 with probability p, else x / (1 - p). Evaluation: x.
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5);
  Value operator()(Value x) const override;
  std::string kind() const override { return "Dropout"; }

 private:
  double p_;
};

/// Modules one after the other, named "0", "1", … or as given to push_back(). A Sequential made of one
/// Sequential is that one, moved; push_back() nests.
class Sequential : public Module {
 public:
  Sequential() = default;
  template <class... M>
  requires((sizeof...(M) > 0) && (std::is_base_of_v<Module, M> && ...)) explicit Sequential(M... modules) {
    (push_back(std::move(modules)), ...);
  }
  template <class M>
  M& push_back(M module) {
    return add(std::to_string(children().size()), std::move(module));
  }
  template <class M>
  M& push_back(std::string name, M module) {
    return add(std::move(name), std::move(module));
  }
  std::size_t size() const noexcept { return children().size(); }
  const Module& operator[](std::size_t i) const { return *children().at(i).module; }
  Module& operator[](std::size_t i) { return *children().at(i).module; }

  Value operator()(Value x) const override;
  std::string kind() const override { return "Sequential"; }
};

struct ResidualOptions {
  bool use_1x1conv = false;
  std::int64_t stride = 1;
};

/// The chapter's residual block: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), the shortcut
/// being x itself or a 1x1 convolution of it, without a norm. x [N,in,H,W] -> y [N,out,ceil(H/stride),…].
/// Source: He et al., arXiv 1512.03385, as the chapter writes it.
class Residual : public Module {
 public:
  Residual(std::int64_t in, std::int64_t out, ResidualOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "Residual"; }

 private:
  Conv2d* conv1_;
  Conv2d* conv2_;
  Conv2d* conv3_ = nullptr;
  BatchNorm2d* bn1_;
  BatchNorm2d* bn2_;
};

/// The chapter's block, deepened as the paper's bottleneck: 1x1, 3x3 with the stride, 1x1 to four
/// times `width` channels; every convolution with a bias, the 1x1 shortcut without a norm.
class ResidualBottleneck : public Module {
 public:
  ResidualBottleneck(std::int64_t in, std::int64_t width, ResidualOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "ResidualBottleneck"; }

 private:
  Conv2d* conv1_;
  Conv2d* conv2_;
  Conv2d* conv3_;
  Conv2d* conv4_ = nullptr;  // the shortcut's
  BatchNorm2d* bn1_;
  BatchNorm2d* bn2_;
  BatchNorm2d* bn3_;
};

/// torchvision's BasicBlock: two 3x3 convolutions; the shortcut is a 1x1 convolution with a norm where
/// stride or channels change. x [N,in,H,W] -> y [N,width,…].
class BasicBlock : public Module {
 public:
  BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride = 1);
  Value operator()(Value x) const override;
  std::string kind() const override { return "BasicBlock"; }

 private:
  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
  Sequential* downsample_ = nullptr;
};

/// torchvision's Bottleneck (v1.5: the stride sits on the 3x3): 1x1, 3x3, 1x1 to 4*width channels.
class Bottleneck : public Module {
 public:
  Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride = 1);
  Value operator()(Value x) const override;
  std::string kind() const override { return "Bottleneck"; }

 private:
  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
  Conv2d* conv3_;
  BatchNorm2d* bn3_;
  Sequential* downsample_ = nullptr;
};

/// Calls visit(path, parameter) for all parameters and buffers in the order of PyTorch's state_dict.
void for_each_parameter(Module& module, const std::function<void(const std::string&, Parameter&)>& visit);
void for_each_parameter(const Module& module,
                        const std::function<void(const std::string&, const Parameter&)>& visit);

/// Trained parameters: weights and biases, not running statistics.
std::int64_t parameter_count(const Module& module);

/// Initialises every parameter and buffer anew.
void init(Module& module, Scheme scheme, std::uint64_t seed);
/// Initialises those that are not set; never touches loaded ones.
void init_unset(Module& module, Scheme scheme, std::uint64_t seed);

/// The module's graph for images [N,C,H,W]: input "images", output "output". Parameters need not be
/// set. In Mode::train the running statistics are updated. Throws ShapeError.
graph::Graph trace(const Module& module, const Shape& images, Mode mode);

/// One line of a summary.
struct SummaryRow {
  std::string name;  // path, e.g. "1.0.conv1"
  std::string kind;  // class of the module
  Shape output;      // of this stage or layer
  std::int64_t parameters = 0;
  double flops = 0;  // multiplications and additions of a forward pass
};

/// Output shapes, parameters and cost of a network for one input shape.
struct Summary {
  std::vector<SummaryRow> stages;  // direct children of the network, in order
  std::vector<SummaryRow> layers;  // operations in the order of evaluation
  std::int64_t parameters = 0;
  double flops = 0;
};

/// `std::cout << summary(net, {1, 1, 224, 224});`
Summary summary(const Module& module, const Shape& images);

/// The chapter's lines, one a stage: `Sequential output shape:  [1, 64, 56, 56]`, then parameters and FLOPs.
std::ostream& operator<<(std::ostream& out, const Summary& summary);

/// The network drawn as the chapter's figures draw it, top to bottom: an SVG document.
std::string drawing(const Module& module, const Shape& images);

}  // namespace nn

}  // namespace resnet
