#include "ops/pool_window.h"

#include <limits>

namespace resnet::ops {

kernels::PoolGeometry pool_geometry(const PoolWindow& window, const Shape& x) {
  const auto& [kernel, stride, padding, count_padding, ceil_mode] = window;
  expect_pair(kernel, "kernel", 1);
  expect_pair(stride, "stride", 1);
  expect_pair(padding, "padding", 0);
  expect(x.rank() == 4 && x.elements() > 0, "expected four extents of at least 1, got " + to_string(x));
  expect(kernel.h * kernel.w <= std::numeric_limits<std::int32_t>::max(),
         "expected a window of fewer than 2^31 pixels");
  expect(2 * padding.h <= kernel.h && 2 * padding.w <= kernel.w,
         "expected padding of at most half the kernel");
  const Pair beyond = ceil_mode ? Pair{stride.h - 1, stride.w - 1} : Pair{0, 0};
  expect(x[2] + 2 * padding.h + beyond.h >= kernel.h && x[3] + 2 * padding.w + beyond.w >= kernel.w,
         "expected an input at least as large as the window after padding");
  return {.n = x[0],
          .c = x[1],
          .h = x[2],
          .w = x[3],
          .kh = kernel.h,
          .kw = kernel.w,
          .sh = stride.h,
          .sw = stride.w,
          .ph = padding.h,
          .pw = padding.w,
          .count_padding = count_padding,
          .ceil_mode = ceil_mode};
}

PoolWindow read_window(graph::AttributeReader& reader) {
  return {.kernel = read_pair(reader, "kernel"),
          .stride = read_pair(reader, "stride"),
          .padding = read_pair(reader, "padding"),
          .ceil_mode = reader.integer_or("ceil_mode", 0) != 0};
}

Attributes window_attributes(const PoolWindow& window) {
  Attributes attributes = {{"kernel", to_list(window.kernel)},
                           {"stride", to_list(window.stride)},
                           {"padding", to_list(window.padding)}};
  if (window.ceil_mode) attributes.set("ceil_mode", std::int64_t{1});
  return attributes;
}

}  // namespace resnet::ops
