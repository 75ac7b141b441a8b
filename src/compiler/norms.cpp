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
    for (std::size_t j = 0; j < places(); ++j) {
      if (const auto* norm = op<BatchNorm>(j); norm != nullptr && norm->options().pool) fuse_pool(j);
    }
    for (std::size_t j = 0; j < places(); ++j) {
      if (const auto* norm = op<BatchNorm>(j); norm == nullptr || norm->options().pool) continue;
      hand_over_statistics(j);
      hand_over_apply(j);
    }
    for (std::size_t j = 0; j < places(); ++j) {
      if (const auto* gradient = op<BatchNormGradient>(j); gradient == nullptr || gradient->options().pool)
        continue;
      hand_over_sums(j);
      hand_over_gradient(j);
    }
  }

 private:
  std::int64_t rows_of(ValueId map) const { return shape(map).elements() / shape(map)[1]; }

  // A norm behind which a pool chooses among x: if its neighbours can, x and dx are no maps any more.
  void fuse_pool(std::size_t j) {
    const Node& norm = node(j);
    const ops::BatchNormOptions options = op<BatchNorm>(j)->options();
    const ValueId x = norm.inputs[Norm::x], index = norm.outputs[NormOut::pool_index];
    const auto k = main_producer(x);
    const auto* conv = k ? op<Conv2d>(*k) : nullptr;
    if (conv == nullptr || is_result(x) || conv->options().fuses()) return;
    const ops::Conv2dPooledOptions pooled{conv->options().window, *options.pool};
    const auto result = make<Conv2dPooled>(pooled);
    const std::vector<std::size_t> readers = consumers(x);
    if (readers.size() != (options.training ? 2U : 1U) || !serves(node(*k), *result)) return;
    const ValueId chosen = new_value({shape(norm.outputs[NormOut::y]), type(x).dtype});
    const ValueId moments = new_value(rows_of_channels(3, channels_of(x)));
    if (options.training) {
      const std::size_t g = readers[0] == j ? readers[1] : readers[0];
      if (!fuse_pool_gradient(g, pooled, node(*k), chosen, moments, norm)) return;
      set_input(j, Norm::moments, moments);
    }
    Node merged = node(*k);
    merged.op = result;
    merged.inputs.resize(ops::Conv2dPooledInput::gamma + 1);
    merged.inputs[ops::Conv2dPooledInput::gamma] = norm.inputs[Norm::gamma];
    merged.outputs = {chosen, index, moments};
    set_output(j, NormOut::pool_index, kNone);
    replace(*k, std::move(merged));
    set_input(j, Norm::x, chosen);
    change<BatchNorm>(j, [&](ops::BatchNormOptions& o) {
      o.pool.reset();
      o.stats_from_producer = o.training;
      o.samples = o.training ? rows_of(x) : 0;
    });
    if (options.training && options.relu) gate_pooled_by_mask(j, moments);
  }

  // The norm gives a mask, by which the producer of dz can gate dz.
  void gate_pooled_by_mask(std::size_t j, ValueId moments) {
    const ValueId mask = new_value({shape(node(j).outputs[NormOut::y]), DType::u8});
    set_output(j, NormOut::relu_mask, mask);
    change<BatchNorm>(j, [](ops::BatchNormOptions& o) { o.relu_mask = true; });
    for (const std::size_t g : consumers(moments)) {
      if (op<BatchNormGradient>(g) == nullptr) continue;
      set_input(g, Gradient::gate, mask);
      change<BatchNormGradient>(g, [](ops::BatchNormGradientOptions& o) { o.gate = Gate::mask; });
    }
  }

  // The gradient of such a norm, whose dx only a weight gradient may read.
  bool fuse_pool_gradient(std::size_t g, const ops::Conv2dPooledOptions& pooled, const Node& conv,
                          ValueId chosen, ValueId moments, const Node& norm) {
    const auto* norm_gradient = op<BatchNormGradient>(g);
    if (norm_gradient == nullptr || !norm_gradient->options().pool) return false;
    const Node& gradient = node(g);
    const ValueId dx = gradient.outputs[GradientOut::dx], z = norm.outputs[NormOut::y];
    const auto& readers = consumers(dx);
    if (readers.size() != 1 || is_result(dx) || op<Conv2dWeightGradient>(readers[0]) == nullptr) return false;
    const std::size_t reader = readers[0];
    const Node& weights = node(reader);
    if (weights.inputs[WeightGradient::x] != conv.inputs[Conv::x] || weights.inputs[WeightGradient::dy] != dx)
      return false;
    const ValueId table = new_value(rows_of_channels(4, channels_of(dx)));
    Node result{make<Conv2dPooledWeightGradient>(pooled),
                weights.name,
                {conv.inputs[Conv::x], conv.inputs[Conv::w], conv.inputs[Conv::bias],
                 gradient.inputs[Gradient::dz], norm.outputs[NormOut::pool_index],
                 gradient.inputs[Gradient::gate], table},  // which need not be the norm's own ReLU
                weights.outputs};
    if (!serves(result, ops::operation(result))) return false;
    result.outputs.resize(1);
    replace(reader, std::move(result));
    set_input(g, Gradient::x, chosen);
    set_input(g, Gradient::pool_index, kNone);
    set_input(g, Gradient::moments, moments);
    set_output(g, GradientOut::dx, table);
    change<BatchNormGradient>(g, [&](ops::BatchNormGradientOptions& o) {
      o.samples = rows_of(norm.inputs[Norm::x]);
      o.pool.reset();
      o.coefficients_only = true;
      o.x = shape(z);
    });
    return true;
  }

  // The statistics of x, in the epilogue of the convolution that makes it.
  void hand_over_statistics(std::size_t j) {
    const ops::BatchNormOptions& norm = op<BatchNorm>(j)->options();
    if (!norm.training || norm.stats_from_producer) return;
    const ValueId x = node(j).inputs[Norm::x];
    const auto k = main_producer(x);
    const auto add = [](ops::ConvOptions& o) { o.statistics = true; };
    if (!k || op<Conv2d>(*k) == nullptr || op<Conv2d>(*k)->options().statistics || !could<Conv2d>(*k, add))
      return;
    const ValueId moments = new_value(rows_of_channels(3, channels_of(x)));
    set_output(*k, ConvOut::moments, moments);
    change<Conv2d>(*k, add);
    set_input(j, Norm::moments, moments);
    change<BatchNorm>(j, [](ops::BatchNormOptions& o) { o.stats_from_producer = true; });
  }

  // Where node k has the map that it convolves, or multiplies with dy.
  std::size_t map_input(std::size_t k) const {
    return op<Conv2d>(k) != nullptr ? std::size_t{Conv::x} : std::size_t{WeightGradient::x};
  }

  // Whether node k convolves z and can normalise x itself.
  bool could_apply(std::size_t k, ValueId z) const {
    if (node(k).inputs[map_input(k)] != z) return false;
    const auto fused = [](auto& o) { o.norm_prologue = true; };
    if (const auto* conv = op<Conv2d>(k)) return !conv->options().norm_prologue && could<Conv2d>(k, fused);
    const auto* weights = op<Conv2dWeightGradient>(k);
    return weights != nullptr && !weights->options().norm_prologue && could<Conv2dWeightGradient>(k, fused);
  }

  // Normalisation and ReLU, in the prologue of all who read z.
  void hand_over_apply(std::size_t j) {
    const ops::BatchNormOptions options = op<BatchNorm>(j)->options();
    const ValueId z = node(j).outputs[NormOut::y], x = node(j).inputs[Norm::x];
    if (options.residual || is_result(z)) return;
    const std::vector<std::size_t> readers = consumers(z);
    const auto reads_through = [&](std::size_t k) { return could_apply(k, z); };
    if (readers.empty() || std::ranges::adjacent_find(readers) != readers.end() ||
        !std::ranges::all_of(readers, reads_through))
      return;
    const ValueId table = new_value(rows_of_channels(3, channels_of(z)));
    // The norm's gradient reads a mask of z, which now follows from x.
    if (options.relu_mask) {
      const std::vector<std::size_t> gated = consumers(node(j).outputs[NormOut::relu_mask]);
      for (const std::size_t k : gated) {
        set_input(k, Gradient::gate, table);
        change<BatchNormGradient>(k, [](ops::BatchNormGradientOptions& o) { o.gate = Gate::coefficients; });
      }
      set_output(j, NormOut::relu_mask, kNone);
    }
    for (const std::size_t k : readers) {
      const auto apply = [&](auto& o) {
        o.norm_prologue = true;
        o.relu_prologue = options.relu;
      };
      set_input(k, map_input(k), x);
      const bool forward = op<Conv2d>(k) != nullptr;
      set_input(k, forward ? std::size_t{Conv::coefficients} : std::size_t{WeightGradient::coefficients},
                table);
      if (forward) {
        change<Conv2d>(k, apply);
      } else {
        change<Conv2dWeightGradient>(k, apply);
      }
    }
    set_output(j, NormOut::y, table);
    if (options.stats_from_producer || !options.training) set_input(j, Norm::x, kNone);
    change<BatchNorm>(j, [&](ops::BatchNormOptions& o) {
      o.relu = o.relu_mask = false;
      o.coefficients_only = true;
      o.x = shape(z);
    });
  }

  // The ReLU's gate and the sums of dz, in the epilogue of the convolution's gradient that makes it.
  void hand_over_sums(std::size_t j) {
    const Node& gradient = node(j);
    const ops::BatchNormGradientOptions options = op<BatchNormGradient>(j)->options();
    const ValueId dz = gradient.inputs[Gradient::dz], gate = gradient.inputs[Gradient::gate];
    if (options.gate != Gate::mask && options.gate != Gate::coefficients) return;
    // Behind a pool, who applies the table reads dz too.
    const auto applies =
        options.coefficients_only ? consumers(gradient.outputs[GradientOut::dx]) : std::vector<std::size_t>{};
    if (consumers(dz).size() != 1 + applies.size() || is_result(dz)) return;
    const auto k = main_producer(dz);
    const auto add = [&](ops::ConvInputGradientOptions& o) { o.sums = options.gate; };
    if (!k || op<Conv2dInputGradient>(*k) == nullptr ||
        op<Conv2dInputGradient>(*k)->options().sums != Gate::none || !could<Conv2dInputGradient>(*k, add))
      return;
    const bool by_mask = options.gate == Gate::mask;
    const ValueId sums = new_value(rows_of_channels(3, channels_of(dz)));
    set_input(*k, InputGradient::norm_x, gradient.inputs[Gradient::x]);
    set_input(*k, by_mask ? InputGradient::mask : InputGradient::coefficients, gate);
    if (by_mask) set_input(*k, InputGradient::mean, gradient.inputs[Gradient::mean]);
    set_output(*k, InputGradientOut::sums, sums);
    change<Conv2dInputGradient>(*k, add);
    set_input(j, Gradient::gate, kNone);
    set_input(j, Gradient::sums, sums);
    if (options.coefficients_only) {  // behind a pool: whoever applies the table need not gate
      set_input(j, Gradient::dz, kNone);
      set_input(j, Gradient::x, kNone);
      for (const std::size_t reader : applies)
        set_input(reader, ops::Conv2dPooledWeightGradientInput::gate, kNone);
    }
    if (options.residual) {
      // Who read the gated gradient from here reads it where it is made.
      const ValueId gated = gradient.outputs[GradientOut::dresidual];
      set_output(j, GradientOut::dresidual, kNone);
      while (!consumers(gated).empty()) {
        const std::size_t reader = consumers(gated).back();
        const auto& inputs = node(reader).inputs;
        set_input(reader, static_cast<std::size_t>(std::ranges::find(inputs, gated) - inputs.begin()), dz);
      }
    }
    change<BatchNormGradient>(j, [](ops::BatchNormGradientOptions& o) {
      o.gate = Gate::none;
      o.residual = false;
      o.sums_from_producer = true;
    });
  }

  // dx, in the prologue of the weight gradient that reads it first.
  void hand_over_gradient(std::size_t j) {
    const Node& gradient = node(j);
    const ops::BatchNormGradientOptions& options = op<BatchNormGradient>(j)->options();
    const ValueId dx = gradient.outputs[GradientOut::dx];
    if (!options.sums_from_producer || options.coefficients_only || is_result(dx)) return;
    const auto& readers = consumers(dx);
    if (readers.empty()) return;
    const std::size_t k = readers[0];  // all others read dx behind the one that makes it
    const auto* weights = op<Conv2dWeightGradient>(k);
    const auto add = [](ops::ConvWeightGradientOptions& o) { o.norm_gradient_prologue = true; };
    if (weights == nullptr || weights->options().norm_gradient_prologue ||
        node(k).inputs[WeightGradient::x] == dx || node(k).inputs[WeightGradient::dy] != dx ||
        !could<Conv2dWeightGradient>(k, add))
      return;
    const ValueId table = new_value(rows_of_channels(4, channels_of(dx)));
    set_input(k, WeightGradient::dy, gradient.inputs[Gradient::dz]);
    set_input(k, WeightGradient::norm_x, gradient.inputs[Gradient::x]);
    set_input(k, WeightGradient::gradient_coefficients, table);
    set_output(k, WeightGradientOut::dy, dx);
    change<Conv2dWeightGradient>(k, add);
    set_input(j, Gradient::dz, kNone);
    set_input(j, Gradient::x, kNone);
    set_output(j, GradientOut::dx, table);
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
