// Batch norms taken apart: what kernels beside them can do of them, they do.
#include <algorithm>
#include <utility>

#include "compiler/draft.h"
#include "compiler/passes.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "ops/conv2d_pooled.h"

namespace resnet::compiler {
namespace {

using graph::kNone;
using graph::Node;
using graph::ValueId;
using ops::BatchNorm;
using ops::BatchNormGradient;
using ops::Conv2d;
using ops::Conv2dInputGradient;
using ops::Conv2dPooled;
using ops::Conv2dPooledWeightGradient;
using ops::Conv2dWeightGradient;
using ops::Gate;
using ops::make;
using ops::rows_of_channels;

using Norm = ops::BatchNormInput;
using NormOut = ops::BatchNormOutput;
using Gradient = ops::BatchNormGradientInput;
using GradientOut = ops::BatchNormGradientOutput;
using Conv = ops::ConvInput;
using ConvOut = ops::ConvOutput;
using InputGradient = ops::ConvInputGradientInput;
using InputGradientOut = ops::ConvInputGradientOutput;
using WeightGradient = ops::ConvWeightGradientInput;
using WeightGradientOut = ops::ConvWeightGradientOutput;

class NormPass : public Draft {
 public:
  using Draft::Draft;

  void run() {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (const auto* norm = op<BatchNorm>(j); norm != nullptr && norm->options().pool) fuse_pool(j);
    }
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (const auto* norm = op<BatchNorm>(j); norm == nullptr || norm->options().pool) continue;
      take_statistics(j);
      hand_over_apply(j);
    }
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (const auto* gradient = op<BatchNormGradient>(j); gradient == nullptr || gradient->options().pool)
        continue;
      take_sums(j);
      hand_over_gradient(j);
    }
  }

 private:
  std::int64_t rows_of(ValueId map) const { return shape(map).elements() / shape(map)[1]; }

  // A norm behind which a pool chooses among x: if its neighbours can, x and dx are no maps any more.
  void fuse_pool(std::size_t j) {
    Node& norm = *nodes_[j];
    const ops::BatchNormOptions options = op<BatchNorm>(j)->options();
    const ValueId x = norm.inputs[Norm::x], index = norm.outputs[NormOut::pool_index];
    const auto k = maker(x);
    const auto* conv = k ? op<Conv2d>(*k) : nullptr;
    if (conv == nullptr || leaves(x)) return;
    const ops::Conv2dPooledOptions pooled{conv->options().window, *options.pool};
    const auto result = make<Conv2dPooled>(pooled);
    const auto readers = consumers(x);
    if (readers.size() != (options.training ? 2U : 1U) || !serves(*nodes_[*k], *result)) return;
    const ValueId chosen = new_value({shape(norm.outputs[NormOut::y]), type(x).dtype});
    const ValueId moments = new_value(rows_of_channels(3, channels_of(x)));
    if (options.training) {
      const std::size_t g = readers[0] == j ? readers[1] : readers[0];
      if (!fuse_pool_gradient(g, pooled, *nodes_[*k], chosen, moments, norm)) return;
      norm.inputs[Norm::moments] = moments;
    }
    Node& maker = *nodes_[*k];
    maker.op = result;
    maker.inputs.resize(ops::Conv2dPooledInput::gamma + 1);
    maker.inputs[ops::Conv2dPooledInput::gamma] = norm.inputs[Norm::gamma];
    maker.outputs = {chosen, index, moments};
    norm.inputs[Norm::x] = chosen;
    norm.outputs[NormOut::pool_index] = kNone;
    change<BatchNorm>(j, [&](ops::BatchNormOptions& o) {
      o.pool.reset();
      o.stats_from_producer = o.training;
      o.samples = o.training ? rows_of(x) : 0;
    });
    if (options.training && options.relu) gate_pooled_by_mask(j, moments);
  }

  // A mask, that the producer of dz may gate it.
  void gate_pooled_by_mask(std::size_t j, ValueId moments) {
    Node& norm = *nodes_[j];
    const ValueId mask = new_value({shape(norm.outputs[NormOut::y]), DType::u8});
    norm.outputs[NormOut::relu_mask] = mask;
    change<BatchNorm>(j, [](ops::BatchNormOptions& o) { o.relu_mask = true; });
    for (const std::size_t g : consumers(moments)) {
      if (op<BatchNormGradient>(g) == nullptr) continue;
      nodes_[g]->inputs[Gradient::gate] = mask;
      change<BatchNormGradient>(g, [](ops::BatchNormGradientOptions& o) { o.gate = Gate::mask; });
    }
  }

  // The gradient of such a norm, whose dx only a weight gradient may read.
  bool fuse_pool_gradient(std::size_t g, const ops::Conv2dPooledOptions& pooled, const Node& conv,
                          ValueId chosen, ValueId moments, const Node& norm) {
    const auto* norm_gradient = op<BatchNormGradient>(g);
    if (norm_gradient == nullptr || !norm_gradient->options().pool) return false;
    Node& gradient = *nodes_[g];
    const ValueId dx = gradient.outputs[GradientOut::dx], z = norm.outputs[NormOut::y];
    const auto readers = consumers(dx);
    if (readers.size() != 1 || leaves(dx) || op<Conv2dWeightGradient>(readers[0]) == nullptr) return false;
    Node& weights = *nodes_[readers[0]];
    if (weights.inputs[WeightGradient::x] != conv.inputs[Conv::x] || weights.inputs[WeightGradient::dy] != dx)
      return false;
    const ValueId table = new_value(rows_of_channels(4, channels_of(dx)));
    const bool gated = norm_gradient->options().gate != Gate::none;
    const Node result{
        make<Conv2dPooledWeightGradient>(pooled),
        weights.name,
        {conv.inputs[Conv::x], conv.inputs[Conv::w], conv.inputs[Conv::bias], gradient.inputs[Gradient::dz],
         norm.outputs[NormOut::pool_index], gated ? z : kNone, table},
        weights.outputs};
    if (!serves(result, ops::operation(result))) return false;
    weights = result;
    weights.outputs.resize(1);
    gradient.inputs[Gradient::x] = chosen;
    gradient.inputs[Gradient::pool_index] = kNone;
    gradient.inputs[Gradient::moments] = moments;
    gradient.outputs[GradientOut::dx] = table;
    change<BatchNormGradient>(g, [&](ops::BatchNormGradientOptions& o) {
      o.samples = rows_of(norm.inputs[Norm::x]);
      o.pool.reset();
      o.coefficients_only = true;
      o.x = shape(z);
    });
    return true;
  }

  // The statistics of x, in the epilogue of the convolution that makes it.
  void take_statistics(std::size_t j) {
    const ops::BatchNormOptions& norm = op<BatchNorm>(j)->options();
    if (!norm.training || norm.stats_from_producer) return;
    const ValueId x = nodes_[j]->inputs[Norm::x];
    const auto k = maker(x);
    const auto add = [](ops::ConvOptions& o) { o.statistics = true; };
    if (!k || op<Conv2d>(*k) == nullptr || op<Conv2d>(*k)->options().statistics || !could<Conv2d>(*k, add))
      return;
    const ValueId moments = new_value(rows_of_channels(3, channels_of(x)));
    nodes_[*k]->outputs[ConvOut::moments] = moments;
    change<Conv2d>(*k, add);
    nodes_[j]->inputs[Norm::moments] = moments;
    change<BatchNorm>(j, [](ops::BatchNormOptions& o) { o.stats_from_producer = true; });
  }

  // Where node k has the map that it convolves, or multiplies with dy.
  std::size_t map_input(std::size_t k) const {
    return op<Conv2d>(k) != nullptr ? std::size_t{Conv::x} : std::size_t{WeightGradient::x};
  }

  // Whether node k convolves z and can normalise x itself.
  bool could_apply(std::size_t k, ValueId z) const {
    if (nodes_[k]->inputs[map_input(k)] != z) return false;
    const auto fused = [](auto& o) { o.norm_prologue = true; };
    if (const auto* conv = op<Conv2d>(k)) return !conv->options().norm_prologue && could<Conv2d>(k, fused);
    const auto* weights = op<Conv2dWeightGradient>(k);
    return weights != nullptr && !weights->options().norm_prologue && could<Conv2dWeightGradient>(k, fused);
  }

  // Normalisation and ReLU, in the prologue of all who read z.
  void hand_over_apply(std::size_t j) {
    Node& norm = *nodes_[j];
    const ops::BatchNormOptions options = op<BatchNorm>(j)->options();
    const ValueId z = norm.outputs[NormOut::y], x = norm.inputs[Norm::x];
    if (options.residual || leaves(z)) return;
    const auto readers = consumers(z);
    const auto reads_through = [&](std::size_t k) {
      return std::count(readers.begin(), readers.end(), k) == 1 && could_apply(k, z);
    };
    if (readers.empty() || !std::all_of(readers.begin(), readers.end(), reads_through)) return;
    const ValueId table = new_value(rows_of_channels(3, channels_of(z)));
    // The norm's gradient reads a mask of z, which now follows from x.
    if (options.relu_mask) {
      for (const std::size_t k : consumers(norm.outputs[NormOut::relu_mask])) {
        nodes_[k]->inputs[Gradient::gate] = table;
        change<BatchNormGradient>(k, [](ops::BatchNormGradientOptions& o) { o.gate = Gate::coefficients; });
      }
      norm.outputs[NormOut::relu_mask] = kNone;
    }
    for (const std::size_t k : readers) {
      Node& reader = *nodes_[k];
      const auto apply = [&](auto& o) {
        o.norm_prologue = true;
        o.relu_prologue = options.relu;
      };
      reader.inputs[map_input(k)] = x;
      const bool forward = op<Conv2d>(k) != nullptr;
      reader.inputs[forward ? std::size_t{Conv::coefficients} : std::size_t{WeightGradient::coefficients}] =
          table;
      if (forward) {
        change<Conv2d>(k, apply);
      } else {
        change<Conv2dWeightGradient>(k, apply);
      }
    }
    norm.outputs[NormOut::y] = table;
    if (options.stats_from_producer || !options.training) norm.inputs[Norm::x] = kNone;
    change<BatchNorm>(j, [&](ops::BatchNormOptions& o) {
      o.relu = o.relu_mask = false;
      o.coefficients_only = true;
      o.x = shape(z);
    });
  }

  // The ReLU's gate and the sums of dz, in the epilogue of the convolution's gradient that makes it.
  void take_sums(std::size_t j) {
    Node& gradient = *nodes_[j];
    const ops::BatchNormGradientOptions options = op<BatchNormGradient>(j)->options();
    const ValueId dz = gradient.inputs[Gradient::dz], gate = gradient.inputs[Gradient::gate];
    if (options.gate != Gate::mask && options.gate != Gate::coefficients) return;
    // Behind a pool, who applies the table reads dz too.
    const auto applies =
        options.coefficients_only ? consumers(gradient.outputs[GradientOut::dx]) : std::vector<std::size_t>{};
    if (consumers(dz).size() != 1 + applies.size() || leaves(dz)) return;
    const auto k = maker(dz);
    const auto add = [&](ops::ConvInputGradientOptions& o) { o.sums = options.gate; };
    if (!k || op<Conv2dInputGradient>(*k) == nullptr ||
        op<Conv2dInputGradient>(*k)->options().sums != Gate::none || !could<Conv2dInputGradient>(*k, add))
      return;
    const bool by_mask = options.gate == Gate::mask;
    Node& producer = *nodes_[*k];
    const ValueId sums = new_value(rows_of_channels(3, channels_of(dz)));
    producer.inputs[InputGradient::norm_x] = gradient.inputs[Gradient::x];
    producer.inputs[by_mask ? InputGradient::mask : InputGradient::coefficients] = gate;
    if (by_mask) producer.inputs[InputGradient::mean] = gradient.inputs[Gradient::mean];
    producer.outputs[InputGradientOut::sums] = sums;
    change<Conv2dInputGradient>(*k, add);
    gradient.inputs[Gradient::gate] = kNone;
    gradient.inputs[Gradient::sums] = sums;
    if (options.coefficients_only) {  // behind a pool: whoever applies the table need not gate
      gradient.inputs[Gradient::dz] = gradient.inputs[Gradient::x] = kNone;
      for (const std::size_t reader : applies)
        nodes_[reader]->inputs[ops::Conv2dPooledWeightGradientInput::gate] = kNone;
    }
    if (options.residual) {
      // Who read the gated gradient from here reads it where it is made.
      const ValueId gated = std::exchange(gradient.outputs[GradientOut::dresidual], kNone);
      for (const std::size_t reader : consumers(gated))
        std::replace(nodes_[reader]->inputs.begin(), nodes_[reader]->inputs.end(), gated, dz);
    }
    change<BatchNormGradient>(j, [](ops::BatchNormGradientOptions& o) {
      o.gate = Gate::none;
      o.residual = false;
      o.sums_from_producer = true;
    });
  }

  // dx, in the prologue of the weight gradient that reads it first.
  void hand_over_gradient(std::size_t j) {
    Node& gradient = *nodes_[j];
    const ops::BatchNormGradientOptions& options = op<BatchNormGradient>(j)->options();
    const ValueId dx = gradient.outputs[GradientOut::dx];
    if (!options.sums_from_producer || options.coefficients_only || leaves(dx)) return;
    const auto readers = consumers(dx);
    if (readers.empty()) return;
    const std::size_t k = readers[0];  // all others read dx behind the one that makes it
    const auto* weights = op<Conv2dWeightGradient>(k);
    const auto add = [](ops::ConvWeightGradientOptions& o) { o.norm_gradient_prologue = true; };
    if (weights == nullptr || weights->options().norm_gradient_prologue ||
        nodes_[k]->inputs[WeightGradient::x] == dx || nodes_[k]->inputs[WeightGradient::dy] != dx ||
        !could<Conv2dWeightGradient>(k, add))
      return;
    Node& maker = *nodes_[k];
    const ValueId table = new_value(rows_of_channels(4, channels_of(dx)));
    maker.inputs[WeightGradient::dy] = gradient.inputs[Gradient::dz];
    maker.inputs[WeightGradient::norm_x] = gradient.inputs[Gradient::x];
    maker.inputs[WeightGradient::gradient_coefficients] = table;
    maker.outputs[WeightGradientOut::dy] = dx;
    change<Conv2dWeightGradient>(k, add);
    gradient.inputs[Gradient::dz] = gradient.inputs[Gradient::x] = kNone;
    gradient.outputs[GradientOut::dx] = table;
    change<BatchNormGradient>(j, [&](ops::BatchNormGradientOptions& o) {
      o.coefficients_only = true;
      o.x = shape(dx);
    });
  }
};

}  // namespace

StoredGraph fuse_norms(const StoredGraph& graph, const Target& target) {
  NormPass pass(graph, target);
  pass.run();
  return pass.rebuild();
}

}  // namespace resnet::compiler
