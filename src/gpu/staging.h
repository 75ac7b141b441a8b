// What goes to a device and comes back for one piece of work, through pinned memory of the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "gpu/device.h"

namespace resnet::gpu {

/// Memory is made as it is needed and kept for the next piece of work, which may begin when the one before is
/// done.
class Staging {
 public:
  /// The device outlives it.
  explicit Staging(Device& device)
      : device_(device), landed_(device.make_moment()), done_(device.make_moment()) {}

  /// Another piece of work begins; what the last one brought back is void.
  void begin() noexcept {
    block_ = 0;
    used_ = 0;
  }
  /// So many bytes of the host, for what follows.
  std::byte* take(std::int64_t bytes);

  /// Asks for a copy of these bytes, which the caller may change at once.
  void send(void* to, const void* from, std::int64_t bytes) {
    device_.copy(to, std::memcpy(take(bytes), from, static_cast<std::size_t>(bytes)), bytes);
  }
  /// Asks for a copy of what is in take()'s memory, beside the work that the device is at: by way of memory
  /// of its own.
  void send_beside(void* to, const std::byte* taken, std::int64_t bytes);
  /// Memory of the device for this piece of work.
  std::byte* on_device(std::int64_t bytes);

  /// Asks for so many bytes of the device; they are there after wait().
  template <class T>
  const T* receive(const void* from, std::int64_t count = 1) {
    const std::int64_t bytes = count * std::int64_t{sizeof(T)};
    std::byte* to = take(bytes);
    device_.copy(to, from, bytes);
    return reinterpret_cast<const T*>(to);
  }
  /// All is asked for.
  void end() { device_.record(done_); }
  /// Until it is done. Throws Error if the device fails.
  void wait() { device_.wait(done_); }

 private:
  Device& device_;
  std::vector<Pinned> blocks_;
  std::size_t block_ = 0;
  std::int64_t used_ = 0;  // bytes of the block
  Memory on_device_;
  Device::Moment landed_, done_;
};

}  // namespace resnet::gpu
