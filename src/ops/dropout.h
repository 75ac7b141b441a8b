// Dropout of training: what is kept depends on (seed, layer, step, element) alone; or, for stochastic depth,
// on the example in place of the element.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "ops/operation.h"

namespace resnet::ops {

struct DropoutOptions {
  double p = 0.5;            // probability of zero, within [0, 1)
  std::uint64_t layer = 0;   // number of its random stream
  bool per_example = false;  // all of an example is kept or none
};
struct DropoutInput {
  enum : std::size_t { x, seed_step };  // seed_step: i64 {seed, number of the step}
};

/// What evaluate() takes for seed_step: their bits, as a double has room for 53 of the 64 of a number.
inline std::vector<double> seed_step_operand(std::uint64_t seed, std::int64_t step) {
  return {std::bit_cast<double>(seed), std::bit_cast<double>(step)};
}

/// y = x / (1 - p) where kept, else 0. Its gradient is itself, of dy.
class Dropout final : public ReadableOperation<Dropout> {
 public:
  static constexpr std::string_view kName = "dropout";
  static constexpr std::array<std::string_view, 2> kInputs = {"x", "seed_step"};
  explicit Dropout(DropoutOptions options) : options_(options) {}
  static Op read(const Attributes& attributes);
  const DropoutOptions& options() const noexcept { return options_; }

  Attributes attributes() const override;
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  Use use_of(std::size_t input) const noexcept override {
    return input == DropoutInput::x ? Use::activation : Use::seed;
  }
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  DropoutOptions options_;
};

}  // namespace resnet::ops
