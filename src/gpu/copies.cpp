#include "gpu/copies.h"

#include "gpu/lines.h"
#include "gpu/rules.h"

namespace resnet::gpu {
namespace {

using device::CopyForm;
using device::CopyLine;

std::int64_t element_bytes(CopyForm form) {
  return form == CopyForm::transposed_f32 ? 4 : 2;
}

std::int64_t blocks_of(std::int64_t rows, std::int64_t columns, CopyForm form) {
  if (form == CopyForm::rounded) return sweep_blocks(rows * columns, kEight);
  return divided(rows, device::kTransposeTile) * divided(columns, device::kTransposeTile);
}

}  // namespace

void* Copies::of(const void* from, std::int64_t rows, std::int64_t columns, CopyForm form) {
  const auto [found, is_new] = numbers_.try_emplace({from, form}, lines_.size());
  if (is_new) {
    lines_.push_back({{{from, nullptr, rows, columns}, form}, bytes_, blocks_of(rows, columns, form)});
    bytes_ += plan::aligned(rows * columns * element_bytes(form), kAlignment);
  }
  return lines_[found->second].what.what.to;
}

std::int64_t Copies::bytes() const {
  return lines_.empty() ? 0 : bytes_ + Lines<CopyLine>::bytes_of(lines_.size());
}

std::int64_t Copies::moved_bytes() const {
  std::int64_t bytes = 0;
  for (const Line& line : lines_) {
    const auto& what = line.what.what;
    bytes += what.rows * what.columns * (std::int64_t{sizeof(float)} + element_bytes(line.what.form));
  }
  return bytes;
}

void Copies::place(Device& device) {
  if (lines_.empty()) return;
  if (memory_.bytes() < bytes()) memory_ = Memory(device, bytes());
  Lines<CopyLine> table;
  for (Line& line : lines_) {
    line.what.what.to = memory_.data() + line.at;
    table.add(line.what, line.blocks);
  }
  std::vector<std::byte> host(static_cast<std::size_t>(table.bytes()));
  table.write(host.data());
  device.copy(memory_.data() + bytes_, host.data(), table.bytes());
  device.synchronize();
  work_ = {launch_of(KernelId::copy_weights, table.blocks(),
                     table.args<device::CopiesArgs>(memory_.data() + bytes_), device::kTransposeBytes)};
}

}  // namespace resnet::gpu
