// A kernel of a plan on a GPU: launches of the kernels of kernels.def, and convolutions of the maker's
// library, in order on one stream.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "device/api.h"
#include "device/kernels.h"
#include "kernels/kernel.h"

namespace resnet::gpu {

struct Launch {
  device::KernelId kernel{};
  std::uint32_t blocks = 0, shared_bytes = 0;
  alignas(16) std::array<std::byte, device::kMostArgs> args{};
};

template <class Args>
Launch launch_of(device::KernelId kernel, std::int64_t blocks, const Args& args,
                 std::int64_t shared_bytes = 0) {
  static_assert(std::is_trivially_copyable_v<Args> && sizeof(Args) <= device::kMostArgs);
  Launch launch;
  launch.kernel = kernel;
  launch.blocks = static_cast<std::uint32_t>(blocks);
  launch.shared_bytes = static_cast<std::uint32_t>(shared_bytes);
  std::memcpy(launch.args.data(), &args, sizeof args);
  return launch;
}

/// A pass of a convolution by the device's library.
struct Convolution {
  resnet_convolution what{};
  resnet_convolution_data data{};
};

using Work = std::variant<Launch, Convolution>;

class Copies;

/// Where one call of a plan finds its data, on the device.
struct Addresses {
  std::span<std::byte* const> operands;  // inputs, then outputs, null where they are absent
  std::byte* workspace = nullptr;        // Kernel::workspace_bytes()
  const std::byte* constants = nullptr;  // Kernel::constants()
  std::int32_t* nonfinite = nullptr;     // becomes 1 where an update wrote something that is not finite
  Copies* copies = nullptr;              // of weights, in other forms
};

/// Takes the work of a call down, each address known.
class Recorder {
 public:
  explicit Recorder(const Addresses& at) : at_(at) {}

  template <class T = void>
  T* operand(std::size_t i) const {
    return i < at_.operands.size() ? static_cast<T*>(static_cast<void*>(at_.operands[i])) : nullptr;
  }
  template <class T>
  T* workspace(std::int64_t bytes = 0) const {
    return at_.workspace == nullptr ? nullptr : static_cast<T*>(static_cast<void*>(at_.workspace + bytes));
  }
  template <class T>
  const T* constants() const {
    return static_cast<const T*>(static_cast<const void*>(at_.constants));
  }
  std::int32_t* nonfinite() const { return at_.nonfinite; }
  Copies& copies() const { return *at_.copies; }

  template <class Args>
  void launch(device::KernelId kernel, std::int64_t blocks, const Args& args, std::int64_t shared_bytes = 0) {
    work_.emplace_back(launch_of(kernel, blocks, args, shared_bytes));
  }
  void convolve(const resnet_convolution& what, const resnet_convolution_data& data) {
    work_.emplace_back(Convolution{what, data});
  }

  std::vector<Work> take() { return std::move(work_); }

 private:
  Addresses at_;
  std::vector<Work> work_;
};

class Kernel final : public kernels::PlannedKernel {
 public:
  struct Parts {
    std::string name = {};
    std::string variant = {};
    std::function<void(Recorder&)> record = {};
    std::int64_t workspace_bytes = 0;
    std::vector<std::byte> constants = {};  // that the device holds for it
  };
  explicit Kernel(Parts parts) : parts_(std::move(parts)) {}

  std::string_view name() const noexcept override { return parts_.name; }
  std::string_view variant() const noexcept override { return parts_.variant; }
  std::int64_t workspace_bytes() const noexcept override { return parts_.workspace_bytes; }
  std::span<const std::byte> constants() const noexcept { return parts_.constants; }
  std::vector<Work> work(const Addresses& at) const {
    Recorder recorder(at);
    parts_.record(recorder);
    return recorder.take();
  }

 private:
  Parts parts_;
};

}  // namespace resnet::gpu
