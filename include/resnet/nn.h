// Layers, residual blocks, and what one does with a network: count, initialise, trace, summarise, draw.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "resnet/module.h"

namespace resnet {
namespace nn {

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
  const Conv2dOptions& options() const noexcept { return options_; }

 private:
  Conv2dOptions options_;
};

struct BatchNorm2dOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // weight of the newest batch in the running statistics
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias over N, H, W of each channel; x and y [N,C,H,W].
/// Training uses the batch's biased variance and keeps the unbiased one in the running estimate.
/// Throws ConfigError for impossible options and for a second call in a training step, ShapeError for other
/// channels, or one value of each in training.
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
  Size2 stride = kernel;      // pixels
  Size2 padding = 0;          // pixels per side, at most half the kernel
  bool count_padding = true;  // average only: divide by the whole window always; PyTorch's count_include_pad
  bool ceil_mode = false;     // round Ho and Wo up: the last window may reach past the map
};

/// Maximum of each window: x [N,C,H,W] -> y [N,C,Ho,Wo], Ho = floor((H + 2*padding - kernel) / stride) + 1.
/// Rounded up, no window begins beyond the map, as in PyTorch. Throws ConfigError for impossible options.
class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(PoolOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "MaxPool2d"; }

 private:
  PoolOptions options_;
};

/// Average of each window; shapes and errors as MaxPool2d.
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

/// y = x W^T + b: x [N,in] -> y [N,out]. Throws ConfigError for fewer features than 1.
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, LinearOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "Linear"; }

 private:
  LinearOptions options_;
};

/// Training: each element is 0 with probability p in [0, 1) (else ConfigError), else x / (1 - p). Evaluation: x.
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
  const Module& operator[](std::size_t i) const;  ///< throws ConfigError if there is none
  Module& operator[](std::size_t i);

  Value operator()(Value x) const override;
  std::string kind() const override { return "Sequential"; }
};

/// Stochastic depth. Training: each example is 0 with probability p in [0, 1) (else ConfigError), else x / (1 - p);
/// which follows from (seed, place in the network, step, example). Evaluation: x. Source: arXiv 1603.09382.
class DropPath : public Module {
 public:
  explicit DropPath(double p);
  Value operator()(Value x) const override;
  std::string kind() const override { return "DropPath"; }

 private:
  double p_;
};

/// x times a gate for each of its channels, sigmoid(fc2(relu(fc1(mean over the map)))). fc1 has
/// channels / reduction outputs, rounded to a multiple of 8, at least 8: timm's rule and names. ConfigError for reduction < 1.
/// Source: Hu et al., arXiv 1709.01507.
class SqueezeExcite : public Module {
 public:
  SqueezeExcite(std::int64_t channels, std::int64_t reduction);
  Value operator()(Value x) const override;
  std::string kind() const override { return "SqueezeExcite"; }

 private:
  Conv2d* fc1_;
  Conv2d* fc2_;
};

/// What goes around a block where its stride or its channels change.
enum class Shortcut : std::uint8_t {
  conv,     // a 1x1 convolution with the stride
  avgpool,  // a 2x2 average pool with the stride, then a 1x1 convolution: "ResNet-D", arXiv 1812.01187
  none,     // nothing, nor around any other block: a plain network
};

/// What the blocks below differ in; the defaults are torchvision's resnet.
struct BlockOptions {
  std::int64_t stride = 1;  // of the first 3x3 convolution
  Shortcut shortcut = Shortcut::conv;
  // Of a bottleneck's 3x3 convolution, which has width * width_per_group / 64 * groups channels: wide,
  // ResNeXt.
  std::int64_t groups = 1, width_per_group = 64;
  std::int64_t se_reduction = 0;  // SqueezeExcite after the convolutions; 0: none
  double drop_path = 0;           // DropPath at the branch's end
};

/// What residual blocks share: how their branch ends and meets the shortcut.
class ResidualBlock : public Module {
 public:
  /// The branch's last norm, or its last convolution where the norms come first; null in a plain block.
  Module* branch_end() const noexcept { return plain_ ? nullptr : branch_end_; }

 protected:
  explicit ResidualBlock(bool plain) : plain_(plain) {}
  /// The children "se" and "drop_path", where there are any, after the branch's end, the child of before.
  void add_end(std::int64_t channels, std::int64_t se_reduction, double drop_path);
  /// The child "downsample", where stride or channels change: a 1x1 convolution and its norm, named "0" and
  /// "1", or "1" and "2" after a pool; in a pre-activation block "conv" alone, and "pool".
  void add_downsample(std::int64_t in, std::int64_t out, const BlockOptions& options, bool norm);
  /// `branch` and x around it. A plain block's branch alone.
  Value join(Value branch, Value x) const;

  Module* around_ = nullptr;  // what x goes through, if anything

 private:
  bool plain_;
  Module* branch_end_ = nullptr;
  SqueezeExcite* se_ = nullptr;
  DropPath* drop_path_ = nullptr;
};

struct ResidualOptions {
  bool use_1x1conv = false;
  std::int64_t stride = 1;
  bool plain = false;    // no shortcut at all
  double drop_path = 0;  // DropPath at the branch's end
};

/// The chapter's residual block: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), the shortcut
/// being x itself or a 1x1 convolution of it, without a norm. x [N,in,H,W] -> y [N,out,ceil(H/stride),…].
/// Source: He et al., arXiv 1512.03385, as the chapter writes it.
class Residual : public ResidualBlock {
 public:
  Residual(std::int64_t in, std::int64_t out, ResidualOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "Residual"; }

 private:
  Conv2d* conv1_;
  Conv2d* conv2_;
  BatchNorm2d* bn1_;
  BatchNorm2d* bn2_;
};

/// The chapter's block, deepened as the paper's bottleneck: 1x1, 3x3 with the stride, 1x1 to four
/// times `width` channels; every convolution with a bias, the 1x1 shortcut without a norm.
class ResidualBottleneck : public ResidualBlock {
 public:
  ResidualBottleneck(std::int64_t in, std::int64_t width, ResidualOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "ResidualBottleneck"; }

 private:
  Conv2d* conv1_;
  Conv2d* conv2_;
  Conv2d* conv3_;
  BatchNorm2d* bn1_;
  BatchNorm2d* bn2_;
  BatchNorm2d* bn3_;
};

/// torchvision's BasicBlock: two 3x3 convolutions; the shortcut is a 1x1 convolution with a norm where
/// stride or channels change. x [N,in,H,W] -> y [N,width,…].
class BasicBlock : public ResidualBlock {
 public:
  BasicBlock(std::int64_t in, std::int64_t width, BlockOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "BasicBlock"; }

 private:
  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
};

/// torchvision's Bottleneck (v1.5: the stride sits on the 3x3): 1x1, 3x3, 1x1 to 4*width channels.
class Bottleneck : public ResidualBlock {
 public:
  Bottleneck(std::int64_t in, std::int64_t width, BlockOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "Bottleneck"; }

 private:
  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  Conv2d* conv2_;
  BatchNorm2d* bn2_;
  Conv2d* conv3_;
  BatchNorm2d* bn3_;
};

/// The same with norm and ReLU before each convolution, none after the sum; the shortcut, a 1x1 convolution
/// without a norm, begins after the first ReLU. timm's resnetv2 and its parameter names.
/// Source: He et al., arXiv 1603.05027.
class PreActBasic : public ResidualBlock {
 public:
  PreActBasic(std::int64_t in, std::int64_t width, BlockOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "PreActBasic"; }

 private:
  BatchNorm2d* norm1_;
  Conv2d* conv1_;
  BatchNorm2d* norm2_;
  Conv2d* conv2_;
};
/// The same with the three convolutions of a Bottleneck.
class PreActBottleneck : public ResidualBlock {
 public:
  PreActBottleneck(std::int64_t in, std::int64_t width, BlockOptions options = {});
  Value operator()(Value x) const override;
  std::string kind() const override { return "PreActBottleneck"; }

 private:
  BatchNorm2d* norm1_;
  Conv2d* conv1_;
  BatchNorm2d* norm2_;
  Conv2d* conv2_;
  BatchNorm2d* norm3_;
  Conv2d* conv3_;
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
  std::vector<SummaryRow> stages;  // children, of a Sequential of Sequentials those of it
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
