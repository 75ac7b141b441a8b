#include "kernels/conv/stem/strips.h"

namespace resnet::kernels::conv {

bool pools(const ConvGeometry& conv, const PoolGeometry& pool) {
  return conv.groups == 1 && pool.n == conv.n && pool.c == conv.co && pool.h == conv.ho() &&
         pool.w == conv.wo();
}

std::int64_t overlap(const PoolGeometry& pool) {
  return std::max<std::int64_t>(0, pool.kh - pool.sh);
}

std::int64_t fitting_windows(const PoolGeometry& pool, std::int64_t columns, std::int64_t bytes) {
  const std::int64_t rows = bytes / (pool.w * columns * std::int64_t{sizeof(float)});
  return std::max<std::int64_t>(1, (rows - overlap(pool)) / pool.sh);
}

std::vector<PoolStrip> cut_strips(const PoolGeometry& pool, std::int64_t columns, std::int64_t bytes) {
  const std::int64_t fitting = fitting_windows(pool, columns, bytes);
  const std::int64_t least =
      std::min(fitting, ceil_div(std::max<std::int64_t>(1, 4 * overlap(pool)), pool.sh));
  const std::int64_t most = std::clamp(pool.n * pool.ho() / kEnoughPooledTasks, least, fitting);
  const std::int64_t windows = ceil_div(pool.ho(), ceil_div(pool.ho(), most));
  const auto first_row = [&](std::int64_t window) {
    if (window == 0) return std::int64_t{0};
    return window < pool.ho() ? std::max<std::int64_t>(0, window * pool.sh - pool.ph) : pool.h;
  };
  std::vector<PoolStrip> strips;
  for (std::int64_t first = 0; first < pool.ho(); first += windows) {
    const std::int64_t last = std::min(first + windows, pool.ho());
    const std::int64_t seen = std::min(pool.h, (last - 1) * pool.sh - pool.ph + pool.kh);
    strips.push_back({first_row(first), first_row(last), std::max(seen, first_row(last)), {first, last}});
  }
  return strips;
}

ConvGeometry padded(const ConvGeometry& g, std::int64_t rows) {
  ConvGeometry result = g;
  result.n = 1;
  result.h = (rows - 1) * g.sh + g.dh * (g.kh - 1) + 1;
  result.w = g.w + 2 * g.pw;
  result.ph = result.pw = 0;
  return result;
}

}  // namespace resnet::kernels::conv
