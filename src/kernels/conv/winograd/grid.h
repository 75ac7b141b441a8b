// What the Winograd kernels share: how maps are cut into blocks of tiles, and where points stand.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/conv/winograd/transforms_simd.h"
#include "kernels/kernel.h"
#include "kernels/matmul/matmul_simd.h"

namespace resnet::kernels::conv::winograd {

// So many shared blocks are on their way at a time, each in memory of its own: a thread then multiplies
// mostly what it has transformed itself, and hardly waits for the caches of others.
inline constexpr std::int64_t kTeams = 2;
// Points of a task's own block, most of L2 of 512 KiB and half of the 1 MiB where there is
// AVX-512, in whole register tiles; or two of those, where they are more.
constexpr std::int64_t local_bytes(std::int64_t lanes) noexcept {
  return (lanes == 8 ? 352 : 512) << 10;
}
// Fewer such tasks would leave threads without one: small batches are shared.
inline constexpr std::int64_t kFewestLocalTasks = 32;
inline constexpr std::int64_t kFewestLocalTiles = 2 * kTileRows;
inline constexpr std::int64_t kFewestTiles = 48;     // eight register tiles, so that a panel is worth its way
inline constexpr std::int64_t kTilesPerTask = 8;     // of a transform
inline constexpr std::int64_t kColumnsPerTask = 64;  // of a product

// Rows of more than a square an odd number of lines apart, so that the rows of a square fall into
// different cache sets.
template <class T>
std::int64_t row_size(std::int64_t channels) {
  const std::int64_t lines = ceil_div(channels, kLine<T>);
  return (channels > kColumnsPerTask ? lines | 1 : lines) * kLine<T>;
}

// Matrices of neighbouring points likewise.
template <class T>
std::int64_t point_size(std::int64_t elements) {
  return (ceil_div(elements, kLine<T>) | 1) * kLine<T>;
}

template <class T>
inline constexpr std::string_view kSuffix = std::is_same_v<T, BFloat16> ? "_bf16" : "";
template <class T>
constexpr std::int64_t size() {
  return static_cast<std::int64_t>(sizeof(T));
}

// The tiles of maps of h x w pixels, in blocks of a task's own if `small` and those are enough, else shared.
// Shared blocks form `teams` of neighbours; a round is one block of each.
class Grid {
 public:
  Grid(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t step, std::int64_t bytes_a_tile,
       std::int64_t own_bytes, bool small, std::int64_t shared_bytes, std::int64_t teams,
       std::int64_t multiple)
      : down_(ceil_div(h, step)), across_(ceil_div(w, step)), tiles_(n * down_ * across_) {
    std::int64_t fitting = std::max(kFewestLocalTiles, own_bytes / bytes_a_tile);
    fitting -= fitting % multiple;
    local_ = small && ceil_div(tiles_, fitting) >= kFewestLocalTasks;
    if (!local_) fitting = std::max(kFewestTiles, shared_bytes / bytes_a_tile);
    blocks_ = ceil_div(tiles_, fitting);
    if (!local_ && tiles_ >= teams * kFewestTiles) blocks_ = ceil_div(blocks_, teams) * teams;
    each_ = ceil_div(ceil_div(tiles_, blocks_), multiple) * multiple;
    blocks_ = ceil_div(tiles_, each_);
    if (!local_) rounds_ = ceil_div(blocks_, std::min(teams, blocks_));
  }
  bool local() const noexcept { return local_; }
  std::int64_t down() const noexcept { return down_; }
  std::int64_t across() const noexcept { return across_; }
  std::int64_t blocks() const noexcept { return blocks_; }
  std::int64_t most() const noexcept { return each_; }  // tiles of a block
  std::int64_t begin(std::int64_t block) const noexcept { return block * each_; }
  std::int64_t count(std::int64_t block) const noexcept {
    return std::clamp<std::int64_t>(tiles_ - block * each_, 0, each_);
  }
  // Tiles of one task of a transform, and how many of those a block has.
  std::int64_t step() const noexcept { return local_ ? each_ : kTilesPerTask; }
  std::int64_t tasks(std::int64_t block) const noexcept { return ceil_div(count(block), step()); }

  // The tiles of a task, in a tensor of this map.
  Tiles tiles(std::int64_t block, std::int64_t task, std::int64_t h, std::int64_t w, std::int64_t c,
              std::int64_t top, std::int64_t left) const noexcept {
    const std::int64_t first = task * step();
    return {.h = h,
            .w = w,
            .c = c,
            .down = down_,
            .across = across_,
            .top = top,
            .left = left,
            .begin = begin(block) + first,
            .count = std::min(step(), count(block) - first)};
  }

  std::int64_t rounds() const noexcept { return rounds_; }
  std::int64_t teams() const noexcept { return ceil_div(blocks_, rounds_); }
  // The block of a team in a round; the last team may have none.
  std::int64_t block(std::int64_t team, std::int64_t round) const noexcept { return team * rounds_ + round; }

  // Tasks of all blocks, numbered: only the last block has fewer.
  std::int64_t all_tasks() const noexcept { return number(blocks_ - 1, tasks(blocks_ - 1)); }
  std::int64_t number(std::int64_t block, std::int64_t task) const noexcept {
    return block * tasks(0) + task;
  }

 private:
  std::int64_t down_, across_, tiles_, blocks_ = 1, each_ = 1, rounds_ = 1;
  bool local_ = false;
};

inline bool strided(const ConvGeometry& g) noexcept {
  return g.sh == 2;
}

// Pixels are even and odd counted from the first of the padding; the tiles of a gradient begin at the first
// of the map where that is odd both ways, else in the padding.
inline bool begins_odd(const ConvGeometry& g) noexcept {
  return g.ph == 1 && g.pw == 1;
}

inline Cut3x3 cut_of(const ConvGeometry& g, std::int64_t m, bool gradient) {
  if (strided(g) && gradient) return begins_odd(g) ? Cut3x3::odd_gradient : Cut3x3::even_gradient;
  if (strided(g)) return Cut3x3::parity;
  return m == 3 ? Cut3x3::f3 : m == 4 ? Cut3x3::f4 : Cut3x3::f6;
}

// Where a norm before the convolution has no ReLU, nothing is too low.
inline float floor_of(const ConvFusion& fusion) noexcept {
  return fusion.relu ? 0.0F : -std::numeric_limits<float>::infinity();
}

// The name says what of norms is fusion.
inline std::string name_of(std::string_view pass, const ConvGeometry& g, std::int64_t m,
                           std::string_view suffix, const ConvFusion& fusion) {
  return fmt::format("{}/{}{}x{}{}{}{}{}{}", pass, strided(g) ? "parity" : "winograd", m, m, suffix,
                     fusion.norm ? "+norm" : "",
                     fusion.moments         ? "+moments"
                     : fusion.norm_epilogue ? "+apply"
                                            : "",
                     fusion.sums != ConvFusion::Sums::none ? "+sums" : "",
                     fusion.norm_gradient ? "+norm_gradient" : "");
}

inline std::vector<std::vector<std::int64_t>> points_by_matrix(const auto& functions) {
  std::vector<std::vector<std::int64_t>> result(static_cast<std::size_t>(functions.matrices()));
  for (std::int64_t p = 0; p < functions.points(); ++p)
    result[static_cast<std::size_t>(functions.matrix(p))].push_back(p);
  return result;
}

std::unique_ptr<Kernel> make_product(const ConvGeometry& g, bool forward, std::int64_t m, Isa isa,
                                     DType storage, const ConvFusion& fusion);
std::unique_ptr<Kernel> make_weight_gradient(const ConvGeometry& g, std::int64_t m, Isa isa, DType storage,
                                             const ConvFusion& fusion);

}  // namespace resnet::kernels::conv::winograd
