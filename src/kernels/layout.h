// How a kernel's workspace or scratch memory is laid out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/index_table.h"

namespace resnet::kernels {

/// One piece after the other, each beginning a cache line.
class Layout {
 public:
  /// Where `count` elements of T begin.
  template <class T>
  std::int64_t add(std::int64_t count) {
    const std::int64_t at = ceil_div(end_, 64) * 64;
    end_ = at + count * std::int64_t{sizeof(T)};
    return at;
  }
  std::int64_t bytes() const noexcept { return end_; }

 private:
  std::int64_t end_ = 0;
};

/// A piece of the memory that begins at `memory`.
template <class T>
T* piece(std::byte* memory, std::int64_t at) noexcept {
  return reinterpret_cast<T*>(memory + at);
}

}  // namespace resnet::kernels
