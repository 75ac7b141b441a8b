// A compiled step as data: kernel calls on fixed places in one arena. Immutable once made; the same
// text on every machine of an instruction set.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::plan {

/// State lives from run to run; work holds nothing between runs. What is prepared follows from state alone:
/// it is filled before the first run and whenever the state has changed.
enum class Region : std::uint8_t { state, work, prepared };

struct Buffer {
  Region region = Region::work;
  std::int64_t offset = 0;  // bytes, multiple of 64
  std::int64_t bytes = 0;
  int first = 0, last = 0;  // calls of its life; state and what is prepared: all
};

/// The elements that a call writes.
struct Output {
  int buffer = -1;
  DType dtype = DType::f32;  // as stored
  std::int64_t elements = 0;
};

struct Call {
  std::shared_ptr<const kernels::PlannedKernel> kernel;
  std::string op, node, reason;
  std::vector<int> operands;    // buffers, -1: absent
  std::vector<Output> outputs;  // those of its operands that it writes
  int prepared = -1;            // buffer that is kept; -1: none, or at the front of the workspace, made anew
                                // in every run
  int workspace = -1;           // buffer, -1: none
  double flops = 0;             // of the direct algorithm
  bool constant = false;        // its operands follow from state alone: it runs when that has changed only
};

/// A value that the engine reads or writes from outside.
struct Slot {
  std::string name;
  Shape shape;  // public layout
  DType dtype = DType::f32;
  int buffer = -1;
};

struct Plan {
  std::vector<Buffer> buffers;
  std::vector<Call> calls;
  std::vector<Slot> inputs, outputs;
  std::int64_t state_bytes = 0, work_bytes = 0, prepared_bytes = 0;
  std::int64_t scratch_bytes = 0;  // of one thread
  std::int64_t live_bytes = 0;     // most bytes of work alive at once: the bound below work_bytes
  std::string target;              // what it is compiled for: "avx2", ...

  const Slot* input(const std::string& name) const noexcept;
  const Slot* output(const std::string& name) const noexcept;
  /// Bytes that a call's sweeps over its operands move.
  std::int64_t moved_bytes(const Call& call) const noexcept;
  /// Sweeps of all calls over operands of at least 1 MiB.
  std::int64_t large_sweeps() const noexcept;
};

/// Where each state value lies, shared by all plans of an engine.
class StateLayout {
 public:
  struct Entry {
    Shape shape;
    std::int64_t offset = 0, bytes = 0;
  };
  /// Appends f32 state; asking again for a name gives the same place.
  const Entry& add(const std::string& name, const Shape& shape);
  const Entry* find(const std::string& name) const;
  std::int64_t bytes() const noexcept { return bytes_; }

 private:
  std::map<std::string, Entry> entries_;
  std::int64_t bytes_ = 0;
};

/// Rounds up to the alignment of buffers, a power of two.
inline std::int64_t aligned(std::int64_t bytes, std::int64_t alignment = 64) {
  return (bytes + alignment - 1) / alignment * alignment;
}

/// SHA-256 of the operation, node and kernel of each call, 64 digits: beside the device and its libraries
/// what the bits of its results follow from.
std::string sha256_of(const Plan& plan);
/// Kernels with the number of their calls, then memory: what changes when the compiler changes.
std::string summary(const Plan& plan);
/// The listing of `resnet plan`: a line a call (kernel, shapes' bytes, place), then memory.
std::string to_string(const Plan& plan);

}  // namespace resnet::plan
