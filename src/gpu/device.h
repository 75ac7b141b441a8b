// A device behind its table of C functions: errors as exceptions, memory with an owner.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "device/api.h"
#include "gpu/kernel.h"

namespace resnet::gpu {

/// What does not fit of these functions, a line; "": they are of this version and run these kernels.
std::string misfit(const resnet_device_api* api);

/// What to do about that.
inline constexpr const char* kOneSource = "build both of one source, or take both from one package";

/// The number of devices. Throws ConfigError where there is none, or the driver is too old.
int count_devices(const resnet_device_api& api);

/// CUDA's number of a version as text: 13010 is "13.1".
std::string cuda_version(std::int32_t number);

/// A device and the one stream on which all work of an engine is done, in the order in which it is asked for;
/// copies may go beside it.
class Device {
 public:
  /// Throws ConfigError if the functions do not fit, or there is no such device that can run the kernels;
  /// DeviceError if it fails or is another process's.
  explicit Device(const resnet_device_api& api, int number = 0);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// As they were when it was opened.
  const resnet_device_facts& facts() const noexcept { return facts_; }
  /// Its name among devices: "cuda:0".
  std::string name() const;
  /// Memory that nobody has now, bytes.
  std::int64_t free_bytes() const;

  /// All these throw DeviceError if the device fails, Error in a child of fork(), which has no part in it.
  /// Copies are between any two of host and device; those to the host are there after synchronize(), and
  /// pinned memory (Pinned) is read and written when it is its turn.
  void copy(void* to, const void* from, std::int64_t bytes);
  void fill(void* memory, int byte, std::int64_t bytes);
  void launch(const Work& work);
  void synchronize();

  /// Loads the maker's library, if it is not there yet; whether there is one.
  bool has_library();
  /// Makes the library's plan of a pass, once for all that ask; gives why it cannot, one line, or "" where
  /// the plan is made and needs no more workspace than this.
  std::string prepare(const resnet_convolution& what, std::int64_t workspace_bytes);
  /// "cuDNN 9.19.0", which belongs to what a run records; "" where there is none, or
  /// nobody has asked for it.
  std::string library_text() const;
  /// What the user should know: that work could not be captured, or which passes the library was asked for and
  /// does not compute. "" where there is nothing.
  std::string note() const;
  /// Why there is no library, where somebody has asked for it; else "".
  const std::string& missing_library() const noexcept { return library_why_; }

  /// Ends what is the device's. Nothing in a child of fork(), to which it does not belong.
  struct End {
    const Device* device = nullptr;
    void operator()(resnet_graph* graph) const noexcept;
    void operator()(resnet_event* event) const noexcept;
  };

  /// What `ask` asks for, which does not run: it is kept, to be launched as one. None where the device cannot
  /// do that, of which note() tells.
  using Graph = std::unique_ptr<resnet_graph, End>;
  Graph captured(const std::function<void()>& ask);
  void launch(const Graph& graph);

  /// A moment between what has been asked for and what is asked for next, by the device's own clock.
  using Moment = std::unique_ptr<resnet_event, End>;
  Moment mark();
  /// One that record() makes what mark() gives.
  Moment make_moment();
  void record(const Moment& moment);
  /// Until it has passed; what was asked for before it is done.
  void wait(const Moment& moment);
  /// Copies from pinned memory beside the stream's work, which goes on behind `landed`, recorded there.
  void copy_beside(void* to, const void* from, std::int64_t bytes, const Moment& landed);
  /// Seconds from one to a later one. Waits for it.
  double seconds(const Moment& first, const Moment& last) const;

  const resnet_device_api& api() const noexcept { return api_; }
  /// Throws Error in a child of fork(), whose memory the device's pinned memory is not.
  void expect_own_process() const;
  /// Throws MemoryError.
  void* allocate(std::int64_t bytes);
  void* allocate_pinned(std::int64_t bytes);  // of the host
  /// By whichever thread. Nothing in a child of fork(), to which it does not belong.
  void release(void* memory) noexcept;
  void release_pinned(void* memory) noexcept;

 private:
  void expect(int status, const char* what, const std::string& hint = {}) const;
  void launch_kernel(const Launch& launch);
  void launch_convolution(const Convolution& convolution);

  struct Prepared {
    resnet_convolution_plan* plan = nullptr;
    std::int64_t workspace_bytes = 0;
    std::string why;  // there is no plan
  };
  struct ByBytes {
    bool operator()(const resnet_convolution& a, const resnet_convolution& b) const noexcept {
      return std::memcmp(&a, &b, sizeof a) < 0;  // of 32-bit integers alone: there is nothing between them
    }
  };
  const Prepared& prepared(const resnet_convolution& what);

  const resnet_device_api& api_;
  int number_;
  pid_t process_;
  resnet_device_facts facts_{};
  resnet_stream* stream_ = nullptr;
  resnet_stream* copies_ = nullptr;  // of what is copied beside
  std::int32_t library_ = -1;        // its version; 0: there is none, -1: not asked for
  std::string library_why_;          // there is none
  std::string not_captured_;         // why
  std::map<resnet_convolution, Prepared, ByBytes> prepared_;
  std::map<resnet_convolution, std::string, ByBytes> refused_;
};

/// Memory of a device, or of the host for copies to and from it; the device outlives it.
template <bool kPinned>
class MemoryOf {
 public:
  MemoryOf() = default;
  MemoryOf(Device& device, std::int64_t bytes)
      : device_(&device),
        data_(static_cast<std::byte*>(kPinned ? device.allocate_pinned(bytes) : device.allocate(bytes))),
        bytes_(bytes) {}
  MemoryOf(MemoryOf&& other) noexcept { swap(other); }
  MemoryOf& operator=(MemoryOf&& other) noexcept {
    MemoryOf taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~MemoryOf() {
    if (data_ == nullptr) return;
    kPinned ? device_->release_pinned(data_) : device_->release(data_);
  }
  std::byte* data() const noexcept { return data_; }
  std::int64_t bytes() const noexcept { return bytes_; }

 private:
  void swap(MemoryOf& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  Device* device_ = nullptr;
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};
using Memory = MemoryOf<false>;
using Pinned = MemoryOf<true>;

}  // namespace resnet::gpu
