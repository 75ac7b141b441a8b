// A GPU as a target: which kernels compute an operation, what they can fuse, what is stored as what. It knows
// no card: plans follow from shapes alone, and are made and printed on any machine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "compiler/rules.h"
#include "device/api.h"
#include "resnet/error.h"

namespace resnet::gpu {

/// What numbers stored as f32 are rounded to where a convolution or a linear layer multiplies them.
enum class Products : std::uint8_t { f32, tf32 };

/// What a target takes of cuDNN: convolutions whose activations are bf16, or f32 that is multiplied as tf32.
struct Cudnn {
  int architecture = 0;  // whose engines (cudnn.h): compute capability, 90 is 9.0; 0: none
  /// Asks the card's own cuDNN for a plan of a pass within so much workspace; gives why it has none, or "".
  /// Null: the table is taken at its word, for plans that are made without a card.
  std::function<std::string(const resnet_convolution& what, std::int64_t workspace_bytes)> prepare = {};
};

/// Shapes that fit, but are more than the GPU's kernels can count: a processor may compute them.
class BeyondKernels : public ShapeError {
 public:
  using ShapeError::ShapeError;
};

/// Of what stands in the device's memory, bytes.
inline constexpr std::int64_t kAlignment = 256;

/// What the rules may ask.
struct Machine {
  Products products;
  const Cudnn& cudnn;
  bool own_3x3;  // whether kernels of our own do what they serve of 3x3 convolutions, before cuDNN
};

class Target final : public compiler::RuledTarget<Machine> {
 public:
  /// `own_3x3`: kernels of our own for 3x3 convolutions in bf16 come before cuDNN's.
  explicit Target(Products products = Products::f32, Cudnn cudnn = {}, bool own_3x3 = true);
  ~Target() override;

  /// Whether it has rules for operations of this kind.
  static bool knows(std::string_view kind);

  std::string_view name() const override { return "cuda"; }
  void check(DType activations) const override;
  std::int64_t alignment() const override { return kAlignment; }

 private:
  const compiler::RuleBook<Machine>& rules() const override;
  Machine machine() const override;

  Products products_;
  Cudnn cudnn_;
  bool own_3x3_;
};

}  // namespace resnet::gpu
