#include "gpu/copies.h"

#include <cstring>

#include "gpu/rules.h"

namespace resnet::gpu {
namespace {

using device::CopyForm;
using device::CopyLine;

std::int64_t blocks_of(std::int64_t rows, std::int64_t columns, CopyForm form) {
  if (form == CopyForm::rounded) return sweep_blocks(rows * columns, kEight);
  return divided(rows, device::kTransposeTile) * divided(columns, device::kTransposeTile);
}

}  // namespace

void* Copies::of(const void* from, std::int64_t rows, std::int64_t columns, CopyForm form) {
  const auto [found, is_new] = numbers_.try_emplace({from, form}, lines_.size());
  if (is_new) {
    lines_.push_back({{{from, nullptr, rows, columns}, form}, bytes_, blocks_of(rows, columns, form)});
    bytes_ += plan::aligned(rows * columns * (form == CopyForm::transposed_f32 ? 4 : 2), kAlignment);
  }
  return lines_[found->second].what.what.to;
}

void Copies::place(Device& device) {
  const auto count = static_cast<std::int64_t>(lines_.size());
  const std::int64_t of_lines = count * static_cast<std::int64_t>(sizeof(CopyLine));
  const std::int64_t of_blocks = (count + 1) * static_cast<std::int64_t>(sizeof(std::int32_t));
  if (count == 0) return;
  if (memory_.bytes() < bytes_ + of_lines + of_blocks)
    memory_ = Memory(device, bytes_ + of_lines + of_blocks);
  std::vector<std::byte> table(static_cast<std::size_t>(of_lines + of_blocks));
  std::int32_t block = 0;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    line.what.what.to = memory_.data() + line.at;
    std::memcpy(table.data() + i * sizeof(CopyLine), &line.what, sizeof line.what);
    block += static_cast<std::int32_t>(line.blocks);
    std::memcpy(table.data() + of_lines + (i + 1) * sizeof block, &block, sizeof block);
  }
  device.copy(memory_.data() + bytes_, table.data(), of_lines + of_blocks);
  device.synchronize();
}

std::vector<Work> Copies::work() const {
  if (lines_.empty()) return {};
  std::int64_t blocks = 0;
  for (const Line& line : lines_) blocks += line.blocks;
  const auto count = static_cast<std::int32_t>(lines_.size());
  const std::byte* const table = memory_.data() + bytes_;
  return {launch_of(
      KernelId::copy_weights, blocks,
      device::CopiesArgs{reinterpret_cast<const CopyLine*>(table),
                         reinterpret_cast<const std::int32_t*>(table + lines_.size() * sizeof(CopyLine)),
                         count},
      device::kTransposeBytes)};
}

}  // namespace resnet::gpu
