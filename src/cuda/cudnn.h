// cuDNN, found and loaded at run time, by its backend interface: a pass of a convolution by an engine that is
// named. It needs no header and no library of NVIDIA's, and no card for the plans of a described one.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "device/api.h"

namespace resnet::cuda {

struct CudnnFunctions;

/// Why there is no cuDNN, or what it refuses: one line.
class CudnnError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Cudnn {
 public:
  /// RESNET_CUDNN_DIR alone where that is set; else the loader's path and CUDA's own folder.
  static std::vector<std::string> default_paths();

  /// Loads the first of these libraries that is there; it stays loaded until the process ends. Throws
  /// CudnnError.
  explicit Cudnn(const std::vector<std::string>& paths = default_paths());
  ~Cudnn();
  Cudnn(const Cudnn&) = delete;
  Cudnn& operator=(const Cudnn&) = delete;

  int version() const noexcept { return version_; }  // 91900 is 9.19.0

  /// Of the card that is in use, its work on this stream (CUDA's).
  void* make_handle(void* stream) const;
  void end_handle(void* handle) const;

  /// The handle's card as cuDNN describes cards in JSON (from 9.8 on), for plans that are made elsewhere.
  /// Throws CudnnError.
  std::string description(void* handle) const;

  /// Whom a plan is for: the card of a handle, or one described in JSON as cuDNN describes them (from 9.8
  /// on).
  struct Card {
    void* handle = nullptr;
    std::string_view described = {};
  };
  /// An engine that gives other bits from run to run, sums in less than f32, transforms its operands (FFT,
  /// Winograd), uses no tensor cores or is compiled at run time is refused. Throws CudnnError.
  std::unique_ptr<resnet_convolution_plan> plan(const resnet_convolution& what, const Card& card) const;
  /// Of a plan with a handle: does it, on the handle's stream.
  void run(const resnet_convolution_plan& plan, const resnet_convolution_data& data) const;

  /// The engines and knobs that heuristics name for a pass, best first, of those that plan() takes.
  std::vector<resnet_convolution> candidates(const resnet_convolution& pass, const Card& card) const;

 private:
  std::unique_ptr<CudnnFunctions> functions_;
  int version_ = 0;
};

}  // namespace resnet::cuda

struct resnet_convolution_plan {
  resnet_convolution_plan();
  ~resnet_convolution_plan();
  resnet_convolution_plan(const resnet_convolution_plan&) = delete;
  resnet_convolution_plan& operator=(const resnet_convolution_plan&) = delete;

  struct Descriptors;
  std::unique_ptr<Descriptors> descriptors;
  void *execution = nullptr, *handle = nullptr;
  std::int64_t workspace_bytes = 0;
};
