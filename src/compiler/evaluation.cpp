// Batch norms of known statistics, in the epilogue of the convolution before them.
#include <utility>

#include "compiler/draft.h"
#include "compiler/passes.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"

namespace resnet::compiler {
namespace {

using graph::kNone;
using graph::Node;
using graph::ValueId;
using ops::BatchNorm;
using ops::Conv2d;

using Norm = ops::BatchNormInput;
using NormOut = ops::BatchNormOutput;
using Conv = ops::ConvInput;
using ConvOut = ops::ConvOutput;

class EvaluationPass : public Draft {
 public:
  using Draft::Draft;

  void run() {
    for (std::size_t j = 0; j < places(); ++j) {
      const auto* norm = op<BatchNorm>(j);
      if (norm != nullptr && !norm->options().training && !norm->options().pool) fuse_into_producer(j);
    }
  }

 private:
  void fuse_into_producer(std::size_t j) {
    const ops::BatchNormOptions options = op<BatchNorm>(j)->options();
    const ValueId x = node(j).inputs[Norm::x], z = node(j).outputs[NormOut::y];
    const auto k = main_producer(x);
    const auto* conv = k ? op<Conv2d>(*k) : nullptr;
    if (conv == nullptr || conv->options().norm_epilogue || is_result(x) || consumers(x).size() != 1) return;
    const auto fused = [&](ops::ConvOptions& o) {
      o.norm_epilogue = true;
      o.residual = options.residual;
      o.relu_epilogue = options.relu;
    };
    if (!could<Conv2d>(*k, fused)) return;
    // The coefficients are made where the convolution was, which moves to where its residual is made.
    Node norm = node(j), merged = node(*k);
    const ValueId coefficients = new_value(ops::rows_of_channels(3, channels_of(x)));
    merged.inputs[Conv::epilogue_coefficients] = coefficients;
    merged.inputs[Conv::residual] = std::exchange(norm.inputs[Norm::residual], kNone);
    merged.outputs[ConvOut::y] = z;
    norm.inputs[Norm::x] = kNone;
    norm.outputs[NormOut::y] = coefficients;
    replace(*k, std::move(norm));
    replace(j, std::move(merged));
    change<Conv2d>(j, fused);
    change<BatchNorm>(*k, [&](ops::BatchNormOptions& o) {
      o.residual = o.relu = false;
      o.coefficients_only = true;
      o.x = shape(x);
    });
  }
};

}  // namespace

StoredGraph fuse_evaluation(const StoredGraph& graph, const Target& target) {
  EvaluationPass pass(graph, target);
  pass.run();
  return pass.rebuild();
}

}  // namespace resnet::compiler
