// Readable convolutions in double, NCHW and OIHW. All three passes multiply the same pairs of elements:
//   y[n,co,y,x] = sum over ci, ky, kx of x[n, ci, y*sh - ph + ky*dh, x*sw - pw + kx*dw] * w[co,ci,ky,kx]
// so they share one loop over (image, output channel, input channel, tap, line), which passes on the part of
// a line where the tap is inside the image.
#include <algorithm>

#include "kernels/conv/conv.h"

namespace resnet::kernels {
namespace {

// Outputs o in [begin, end) of an axis read an input i = o * stride + offset inside [0, in).
struct Range {
  std::int64_t begin, end;
};

Range valid_outputs(std::int64_t in, std::int64_t out, std::int64_t stride, std::int64_t offset) {
  const std::int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const std::int64_t end = offset >= in ? 0 : (in - 1 - offset) / stride + 1;
  return {std::min(begin, out), std::clamp(end, std::min(begin, out), out)};
}

// Calls body(x_at, w_at, y_at, count) for each run of `count` outputs of a line: output y_at + i
// meets input x_at + i * sw through weight w_at.
template <class Body>
void for_each_line(const ConvGeometry& g, const Body& body) {
  const std::int64_t ho = g.ho(), wo = g.wo(), ci_group = g.ci / g.groups, co_group = g.co / g.groups;
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t co = 0; co < g.co; ++co) {
      for (std::int64_t c = 0; c < ci_group; ++c) {
        const std::int64_t ci = co / co_group * ci_group + c;
        for (std::int64_t ky = 0; ky < g.kh; ++ky) {
          const std::int64_t dy = ky * g.dh - g.ph;
          const Range ys = valid_outputs(g.h, ho, g.sh, dy);
          for (std::int64_t kx = 0; kx < g.kw; ++kx) {
            const std::int64_t dx = kx * g.dw - g.pw;
            const Range xs = valid_outputs(g.w, wo, g.sw, dx);
            if (xs.begin == xs.end) continue;
            const std::int64_t w_at = ((co * ci_group + c) * g.kh + ky) * g.kw + kx;
            for (std::int64_t y = ys.begin; y < ys.end; ++y) {
              const std::int64_t x_at = ((n * g.ci + ci) * g.h + y * g.sh + dy) * g.w + xs.begin * g.sw + dx;
              const std::int64_t y_at = ((n * g.co + co) * ho + y) * wo + xs.begin;
              body(x_at, w_at, y_at, xs.end - xs.begin);
            }
          }
        }
      }
    }
  }
}

}  // namespace

void reference_conv_forward(const ConvGeometry& g, View<const double> x, View<const double> w,
                            View<const double> bias, View<double> y) {
  const std::int64_t pixels = g.ho() * g.wo();
  for (std::int64_t i = 0; i < g.n * g.co * pixels; ++i) {
    y[i] = bias.data != nullptr ? bias[i / pixels % g.co] : 0.0;
  }
  for_each_line(g, [&](std::int64_t x_at, std::int64_t w_at, std::int64_t y_at, std::int64_t count) {
    const double* from = x.data + x_at;
    double* to = y.data + y_at;
    const double weight = w[w_at];
    if (g.sw == 1) {
      for (std::int64_t i = 0; i < count; ++i) to[i] += weight * from[i];
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i] += weight * from[i * g.sw];
    }
  });
}

void reference_conv_input_gradient(const ConvGeometry& g, View<const double> dy, View<const double> w,
                                   View<double> dx) {
  std::fill_n(dx.data, g.n * g.ci * g.h * g.w, 0.0);
  for_each_line(g, [&](std::int64_t x_at, std::int64_t w_at, std::int64_t y_at, std::int64_t count) {
    const double* from = dy.data + y_at;
    double* to = dx.data + x_at;
    const double weight = w[w_at];
    if (g.sw == 1) {
      for (std::int64_t i = 0; i < count; ++i) to[i] += weight * from[i];
    } else {
      for (std::int64_t i = 0; i < count; ++i) to[i * g.sw] += weight * from[i];
    }
  });
}

void reference_conv_weight_gradient(const ConvGeometry& g, View<const double> x, View<const double> dy,
                                    View<double> dw) {
  std::fill_n(dw.data, g.co * (g.ci / g.groups) * g.kh * g.kw, 0.0);
  for_each_line(g, [&](std::int64_t x_at, std::int64_t w_at, std::int64_t y_at, std::int64_t count) {
    const double* a = x.data + x_at;
    const double* b = dy.data + y_at;
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) sum += a[i * g.sw] * b[i];
    dw[w_at] += sum;
  });
}

}  // namespace resnet::kernels
