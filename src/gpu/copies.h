// Weights in the forms that kernels read: rounded to bf16, or in cuDNN's order. Each is made once a run, all
// by one launch before the others.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "device/args.h"
#include "gpu/device.h"

namespace resnet::gpu {

class Copies {
 public:
  /// The copy of a matrix [rows][columns] of f32, of whole eights of elements. Before place() it has no
  /// address: what is wanted is only counted.
  void* of(const void* from, std::int64_t rows, std::int64_t columns, device::CopyForm form);
  /// Gives all that has been wanted its memory.
  void place(Device& device);
  /// Bytes that place() takes of the device, and that it has taken.
  std::int64_t bytes() const;
  std::int64_t placed_bytes() const noexcept { return memory_.bytes(); }
  /// Makes them: one launch, or none where nothing is wanted.
  const std::vector<Work>& work() const noexcept { return work_; }
  /// Bytes that it reads and writes.
  std::int64_t moved_bytes() const;

 private:
  using Key = std::tuple<const void*, device::CopyForm>;
  struct Line {
    device::CopyLine what;
    std::int64_t at, blocks;
  };
  std::map<Key, std::size_t> numbers_;
  std::vector<Line> lines_;
  std::int64_t bytes_ = 0;
  std::vector<Work> work_;
  Memory memory_;  // the copies, and behind them the table of lines
};

}  // namespace resnet::gpu
