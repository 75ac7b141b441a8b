#include "gpu/staging.h"

#include <algorithm>

#include "gpu/target.h"
#include "plan/plan.h"

namespace resnet::gpu {
namespace {

constexpr std::int64_t kLeastBlock = 64 * 1024;  // pages are pinned as a whole

}  // namespace

std::byte* Staging::take(std::int64_t bytes) {
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) blocks_.emplace_back(device_, std::max(bytes, kLeastBlock));
  std::byte* const result = blocks_[block_].data() + used_;
  used_ += plan::aligned(bytes, kAlignment);
  return result;
}

std::byte* Staging::on_device(std::int64_t bytes) {
  if (bytes > on_device_.bytes()) {
    on_device_ = Memory();  // freed before the new one is allocated
    on_device_ = Memory(device_, bytes);
  }
  return on_device_.data();
}

void Staging::send_beside(void* to, const std::byte* taken, std::int64_t bytes) {
  std::byte* const between = on_device(bytes);
  device_.copy_beside(between, taken, bytes, landed_);
  device_.copy(to, between, bytes);
}

}  // namespace resnet::gpu
