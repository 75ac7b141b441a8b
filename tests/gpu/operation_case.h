// One operation, as the GPU's target lowers it and the emulator runs it, beside its readable reference.
#pragma once

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "gpu/target.h"
#include "gpu/with_cudnn.h"
#include "ops/conv2d.h"
#include "ops/operation.h"

namespace resnet::test {

struct OperationCase {
  std::shared_ptr<const ops::Operation> op;
  std::vector<std::optional<ops::ValueType>> inputs;  // public shapes; f32, or a type of one storage alone
  std::vector<std::vector<double>> values = {};       // of the inputs, where they are not random; or empty
  DType storage = DType::f32;                         // of the operands that the target stores as bf16 then
  gpu::Products products = gpu::Products::f32;
  bool first_is_f32 = false;  // though others are bf16, where the target allows it
  bool cudnn = false;         // by tested_cudnn(), as the table says for its architecture
  // Where an addition is fused: what is left without it, and the input that is added to output 0.
  std::shared_ptr<const ops::Operation> unfused = nullptr;
  std::size_t addend = 0;
};
void PrintTo(const OperationCase& c, std::ostream* out);

/// A convolution of images of this shape.
struct ConvCase {
  Shape x;
  std::int64_t co;
  ops::Pair kernel;
  ops::ConvWindow window = {};

  Shape w() const { return {co, x[1] / window.groups, kernel.h, kernel.w}; }
  kernels::ConvGeometry geometry() const { return ops::conv_geometry(window, x, w()); }
};

/// What cases with cuDNN run on: the card's own, or in the emulator the fake one; null: the card has none.
const CudnnDevice* tested_cudnn();

/// The name of the kernel that it is lowered to.
std::string kernel_of(const OperationCase& c);

/// What a run read and wrote, as stored, in the public layout; empty where an operand is absent.
struct Operands {
  std::vector<std::vector<double>> inputs, outputs;
};

/// Runs it. Outputs are written in full and nothing beside them; in place and in the other order of threads
/// and blocks the bits are the same; and no matrix load has a bank conflict.
Operands run_operation(const OperationCase& c);

/// The same, and every output is within its rounding of the reference.
void expect_matches_reference(const OperationCase& c);

}  // namespace resnet::test
