// The contract of every kernel of the CPU, and what plans know of the kernels of any machine.
//
// A kernel is prepared once for its shapes and its instruction set, is immutable from then on, and
// runs any number of times. Its work is a few phases, each a grid of numbered tasks; all tasks of a
// phase finish before the next phase starts. The grids, and what a task computes, are functions of
// shapes and instruction set alone, never of the number of threads: that is what makes results the
// same for any number of them.
//
// Layouts behind this contract: activations NHWC (row-major [N][H][W][C]), convolution weights
// [kh][kw][ci][co], linear weights [in][out], everything per channel [C]; f32 unless said.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace resnet::kernels {

/// Where one run of a kernel finds its data.
struct Call {
  void* const* operands = nullptr;         ///< inputs, then outputs, in the order of the kernel's contract;
                                           ///< null where the contract calls an operand optional
  std::byte* prepared = nullptr;           ///< prepared_bytes(): what the preparing tasks have written
  std::byte* workspace = nullptr;          ///< workspace_bytes(), shared by all tasks of the call
  std::byte* scratch = nullptr;            ///< scratch_bytes(), of this task's thread alone
  std::atomic<bool>* nonfinite = nullptr;  ///< set by updates of parameters that are not finite; may be null

  template <class T>
  T* operand(int i) const noexcept {
    return static_cast<T*>(operands[i]);
  }
  void expect_finite(bool finite) const noexcept {
    if (!finite && nonfinite != nullptr) nonfinite->store(true, std::memory_order_relaxed);
  }
};

/// What a plan knows of a kernel, on whichever machine it runs: its name and its memory.
class PlannedKernel {
 public:
  virtual ~PlannedKernel() = default;

  /// Family and algorithm, e.g. "conv_forward/patch6x16", in the printed plan.
  virtual std::string_view name() const noexcept = 0;
  /// What besides its name decides the bits of its results, as bytes for a hash.
  virtual std::string_view variant() const noexcept { return {}; }
  /// What the kernel makes of its constants (packed or transformed weights, a norm's coefficients). It reads
  /// no operand for it but those of which prepares_from() is true, and nothing else writes there. As long as
  /// these operands keep their values, a plan may keep the bytes.
  virtual std::int64_t prepared_bytes() const noexcept { return 0; }
  virtual bool prepares_from(std::size_t operand) const noexcept {
    static_cast<void>(operand);
    return false;
  }
  virtual std::int64_t workspace_bytes() const noexcept { return 0; }
  virtual std::int64_t scratch_bytes() const noexcept { return 0; }
  /// How often the kernel goes over operand i: for the printed plan.
  virtual int sweeps(std::size_t operand) const noexcept {
    static_cast<void>(operand);
    return 1;
  }

 protected:
  PlannedKernel() = default;
  PlannedKernel(const PlannedKernel&) = default;
  PlannedKernel& operator=(const PlannedKernel&) = default;
};

/// A kernel of the CPU.
class Kernel : public PlannedKernel {
 public:
  /// How many tasks of phase 0, from the first, write prepared_bytes() to Call::prepared; a plan that keeps
  /// these leaves them out.
  virtual std::int64_t prepare_tasks() const noexcept { return 0; }
  virtual int phases() const noexcept { return 1; }
  virtual std::int64_t tasks(int phase) const noexcept = 0;
  /// Runs one task. Allocates nothing, decides nothing, never fails: everything was proven when
  /// the kernel was made. All buffers are aligned to 64 bytes.
  virtual void run(const Call& call, int phase, std::int64_t task) const noexcept = 0;
};

}  // namespace resnet::kernels
