// Two values side by side along their channels, and a part of the channels.
#pragma once

#include "ops/operation.h"

namespace resnet::ops {

struct ConcatInput {
  enum : std::size_t { a, b };
};

/// a [N,A,...], b [N,B,...] -> y [N,A+B,...].
class Concat final : public ReadableOperation<Concat> {
 public:
  static constexpr std::string_view kName = "concat";
  static constexpr std::array<std::string_view, 2> kInputs = {"a", "b"};
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void gradient(GradientScope& scope) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;
};

struct SliceOptions {
  std::int64_t first = 0, count = 0;  // channels
};

/// x [N,C,...] -> y [N,count,...]: the channels from `first` on.
class Slice final : public CompiledOperation<Slice> {
 public:
  static constexpr std::string_view kName = "slice";
  static constexpr std::array<std::string_view, 1> kInputs = {"x"};
  explicit Slice(SliceOptions options) : options_(options) {}
  const SliceOptions& options() const noexcept { return options_; }
  std::vector<std::optional<ValueType>> infer(std::span<const ValueType* const> inputs) const override;
  void evaluate(const Signature& s, std::span<const View<const double>> in,
                std::span<const View<double>> out) const override;

 private:
  SliceOptions options_;
};

}  // namespace resnet::ops
