// Batch normalisation as the textbook writes it, in double on [N,C,pixels].
// Source: Ioffe and Szegedy, "Batch normalization", 2015, algorithm 1 and section 3.
#include <algorithm>
#include <cmath>

#include "kernels/norm/norm.h"

namespace resnet::kernels {
namespace {

/// Calls visit(i) for the place of every value of channel `channel`, images outermost.
template <class Visit>
void for_channel(const NormGeometry& g, std::int64_t channel, const Visit& visit) {
  for (std::int64_t image = 0; image < g.n; ++image) {
    const std::int64_t first = (image * g.c + channel) * g.pixels;
    for (std::int64_t i = first; i < first + g.pixels; ++i) visit(i);
  }
}

void set(View<double> view, std::int64_t i, double value) {
  if (view.data != nullptr) view[i] = value;
}

}  // namespace

void reference_norm_train(const NormGeometry& g, View<const double> x, View<const double> gamma,
                          View<const double> beta, View<const double> running_mean,
                          View<const double> running_var, View<double> y, View<double> mean,
                          View<double> inv_std, View<double> new_running_mean, View<double> new_running_var) {
  const auto rows = static_cast<double>(g.rows());
  for (std::int64_t channel = 0; channel < g.c; ++channel) {
    double sum = 0;
    for_channel(g, channel, [&](std::int64_t i) { sum += x[i]; });
    const double mu = sum / rows;
    double squares = 0;
    for_channel(g, channel, [&](std::int64_t i) { squares += (x[i] - mu) * (x[i] - mu); });
    const double inverse = 1.0 / std::sqrt(squares / rows + g.eps);
    if (y.data != nullptr) {
      for_channel(g, channel,
                  [&](std::int64_t i) { y[i] = (x[i] - mu) * inverse * gamma[channel] + beta[channel]; });
    }
    set(mean, channel, mu);
    set(inv_std, channel, inverse);
    const double unbiased = squares / std::max(rows - 1.0, 1.0);
    if (new_running_mean.data != nullptr) {
      new_running_mean[channel] = (1.0 - g.momentum) * running_mean[channel] + g.momentum * mu;
    }
    if (new_running_var.data != nullptr) {
      new_running_var[channel] = (1.0 - g.momentum) * running_var[channel] + g.momentum * unbiased;
    }
  }
}

void reference_norm_eval(const NormGeometry& g, View<const double> x, View<const double> gamma,
                         View<const double> beta, View<const double> running_mean,
                         View<const double> running_var, View<double> y) {
  for (std::int64_t channel = 0; channel < g.c; ++channel) {
    const double inverse = 1.0 / std::sqrt(running_var[channel] + g.eps);
    for_channel(g, channel, [&](std::int64_t i) {
      y[i] = (x[i] - running_mean[channel]) * inverse * gamma[channel] + beta[channel];
    });
  }
}

void reference_norm_gradient(const NormGeometry& g, View<const double> dy, View<const double> x,
                             View<const double> gamma, View<const double> mean, View<const double> inv_std,
                             View<double> dx, View<double> dgamma, View<double> dbeta) {
  const auto rows = static_cast<double>(g.rows());
  for (std::int64_t channel = 0; channel < g.c; ++channel) {
    const auto normalised = [&](std::int64_t i) { return (x[i] - mean[channel]) * inv_std[channel]; };
    double sum = 0;
    double product_sum = 0;
    for_channel(g, channel, [&](std::int64_t i) {
      sum += dy[i];
      product_sum += dy[i] * normalised(i);
    });
    if (dx.data != nullptr) {
      for_channel(g, channel, [&](std::int64_t i) {
        dx[i] = gamma[channel] * inv_std[channel] * (dy[i] - sum / rows - normalised(i) * product_sum / rows);
      });
    }
    set(dgamma, channel, product_sum);
    set(dbeta, channel, sum);
  }
}

}  // namespace resnet::kernels
