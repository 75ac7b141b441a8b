// What the kernels of batch normalisation share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "kernels/norm/norm.h"
#include "kernels/pool/pool_simd.h"
#include "kernels/simd/channel_grid.h"

namespace resnet::kernels {

/// What the three kernels share: the grid; in the workspace vectors of a period each, then chunks' sums.
class NormKernel : public Kernel {
 public:
  explicit NormKernel(const NormGeometry& geometry) : g_(geometry), grid_(geometry.rows(), geometry.c) {
    if (g_.pool) pool_.emplace(*g_.pool);
  }

 protected:
  std::int64_t vector_bytes(int vectors) const noexcept {
    return vectors * grid_.period() * std::int64_t{sizeof(float)};
  }

  float* vector(std::byte* memory, int i) const noexcept {
    return reinterpret_cast<float*>(memory) + i * grid_.period();
  }

  /// Writes a number of a channel: into row i of the coefficients that are the result, or wherever the
  /// channel stands in the period of vector i of `vectors`.
  void put(const Call& call, std::byte* vectors, int result, int i, std::int64_t channel,
           double value) const noexcept {
    if (g_.coefficients_only) {
      call.operand<float>(result)[i * g_.c + channel] = static_cast<float>(value);
    } else {
      spread(vector(vectors, i), channel, value);
    }
  }
  void spread(float* vector, std::int64_t channel, double value) const noexcept {
    const auto rounded = static_cast<float>(value);
    for (std::int64_t j = channel; j < grid_.period(); j += grid_.channels()) vector[j] = rounded;
  }

  /// Elements of a row of pixels.
  std::int64_t row() const noexcept { return pool_->g.w * g_.c; }

  /// Rows of the pool's windows whose first row begins in a chunk.
  Range windows_of(std::int64_t chunk) const noexcept {
    const std::int64_t begin = grid_.begin(chunk), end = begin + grid_.count(chunk);
    const auto first = [&](std::int64_t element) { return pool_->rows_above((element + row() - 1) / row()); };
    return {first(begin), first(end)};
  }

  NormGeometry g_;
  ChannelGrid grid_;
  std::optional<PoolTables> pool_;
};

}  // namespace resnet::kernels
