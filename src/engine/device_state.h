// The state of an engine on a device.
#pragma once

#include "engine/native_state.h"
#include "gpu/executor.h"

namespace resnet::engine {

/// Its values lie on the device, behind the device's arena; NativeState is their mirror, for whoever reads or
/// sets them. The device has none of them before the first reserve().
class DeviceState {
 public:
  /// As NativeState's. The device outlives it.
  DeviceState(Network& network, const EngineOptions& options, gpu::Device& device)
      : mirror_(network, options, 1), device_(device), arena_(device) {}

  /// Room for all of the state on both sides, and for work. Gives whether anything moved; throws MemoryError.
  bool reserve(std::int64_t work_bytes);

  State values(StateScope scope) const;
  void set_values(const State& given);
  void swap_average();
  State gradient_values() const;
  std::vector<GradientSpan> gradient_spans();
  /// Takes what may have been written into spans that were given out, if any were.
  void take_spans();
  void forget_spans() noexcept { spans_are_given_ = false; }

  /// For whoever writes it on the device.
  void changes() noexcept { mirrored_ = false; }
  /// Layout and counts, in which both sides agree.
  NativeState& mirror() noexcept { return mirror_; }
  const NativeState& mirror() const noexcept { return mirror_; }
  gpu::Arena& arena() noexcept { return arena_; }
  const gpu::Arena& arena() const noexcept { return arena_; }

 private:
  bool is_on_device() const noexcept { return mirrored_bytes_ >= 0; }
  void pull() const;
  void push();
  // Where a value of the mirror lies on the device.
  std::byte* on_device(const float* value) const noexcept {
    return arena_.state() + (reinterpret_cast<const std::byte*>(value) - mirror_.arena().state());
  }

  NativeState mirror_;
  gpu::Device& device_;
  gpu::Arena arena_;
  std::int64_t mirrored_bytes_ = -1;  // on both sides; -1: the device has none yet
  mutable bool mirrored_ = true;      // what the device has is in the mirror
  bool spans_are_given_ = false;      // and may have been written in the mirror
};

}  // namespace resnet::engine
