// The elementwise family in double.
#include <algorithm>

#include "kernels/elementwise/dropout_stream.h"
#include "kernels/elementwise/elementwise.h"

namespace resnet::kernels {

void reference_relu(View<const double> x, View<double> y) {
  for (std::int64_t i = 0; i < x.shape.elements(); ++i) y[i] = x[i] <= 0 ? 0.0 : x[i];  // NaN stays NaN
}

void reference_relu_gradient(View<const double> dy, View<const double> y, View<double> dx) {
  for (std::int64_t i = 0; i < dy.shape.elements(); ++i) dx[i] = y[i] <= 0 ? 0.0 : dy[i];
}

void reference_add(View<const double> a, View<const double> b, View<double> y) {
  for (std::int64_t i = 0; i < a.shape.elements(); ++i) y[i] = a[i] + b[i];
}

void reference_channel_sum(View<const double> x, View<double> sum) {
  const std::int64_t channels = sum.shape.elements();
  std::fill_n(sum.data, channels, 0.0);
  std::int64_t pixels = 1;
  for (int axis = 2; axis < x.shape.rank(); ++axis) pixels *= x.shape[axis];
  for (std::int64_t i = 0; i < x.shape.elements(); ++i) sum[i / pixels % channels] += x[i];
}

void reference_dropout(double p, std::uint64_t layer, std::int64_t seed, std::int64_t step,
                       View<const double> x, View<double> y) {
  const RandomStream random = dropout_stream(layer, seed, step);
  for (std::int64_t i = 0; i < x.shape.elements(); ++i) {
    const bool kept = static_cast<double>(random.uniform(static_cast<std::uint64_t>(i))) >= p;
    y[i] = kept ? x[i] / (1.0 - p) : x[i] * 0.0 + 0.0;
  }
}

void reference_drop_path(double p, std::uint64_t layer, std::int64_t seed, std::int64_t step,
                         View<const double> x, View<double> y) {
  const RandomStream random = dropout_stream(layer, seed, step);
  const std::int64_t of_example = x.shape.elements() / x.shape[0];
  for (std::int64_t i = 0; i < x.shape.elements(); ++i) {
    const auto example = static_cast<std::uint64_t>(i / of_example);
    y[i] = static_cast<double>(random.uniform(example)) >= p ? x[i] / (1.0 - p) : x[i] * 0.0 + 0.0;
  }
}

}  // namespace resnet::kernels
