// dirac, zero gamma, whitening.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "resnet/init.h"

namespace resnet::nn {
namespace {

using Matrix = std::vector<double>;  // row-major, square

// Eigenvectors of a symmetric matrix, a row each, and their eigenvalues, the largest first.
struct Eigen {
  std::vector<double> values;
  std::vector<std::vector<double>> vectors;
};

// Turns rows and columns p and q so that element (p, q) becomes 0.
void rotate(Matrix& a, Matrix& vectors, std::size_t n, std::size_t p, std::size_t q) {
  const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
  const double t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
  const double c = 1 / std::sqrt(t * t + 1), s = t * c;
  const auto turn = [&](double& x, double& y) {
    const double old = x;
    x = c * x - s * y;
    y = s * old + c * y;
  };
  for (std::size_t k = 0; k < n; ++k) turn(a[k * n + p], a[k * n + q]);
  for (std::size_t k = 0; k < n; ++k) turn(a[p * n + k], a[q * n + k]);
  for (std::size_t k = 0; k < n; ++k) turn(vectors[p * n + k], vectors[q * n + k]);
}

// Cyclic Jacobi. Source: Golub and Van Loan, Matrix Computations, section 8.5.
Eigen eigen_of(Matrix a, std::size_t n) {
  Matrix vectors(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  constexpr int kSweeps = 30;  // it converges quadratically: ten are enough
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double off = 0, all = 0;
    for (std::size_t i = 0; i < n * n; ++i) {
      all += a[i] * a[i];
      if (i / n != i % n) off += a[i] * a[i];
    }
    if (off <= 1e-28 * all) break;
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] != 0) rotate(a, vectors, n, p, q);
      }
    }
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t i, std::size_t j) { return a[i * n + i] > a[j * n + j]; });
  Eigen result;
  for (const std::size_t i : order) {
    result.values.push_back(a[i * n + i]);
    const auto row = vectors.begin() + static_cast<std::ptrdiff_t>(i * n);
    result.vectors.emplace_back(row, row + static_cast<std::ptrdiff_t>(n));
  }
  return result;
}

// Of the patches [C,height,width] of images, at up to some 32 x 32 places of each.
struct PatchSums {
  explicit PatchSums(std::size_t size) : n(size), products(n * n, 0.0), sums(n, 0.0) {}
  std::size_t n;  // elements of a patch
  Matrix products;
  std::vector<double> sums;
  double count = 0;
};

void add_patches(PatchSums& of, const Tensor& images, std::int64_t height, std::int64_t width) {
  const Shape& s = images.shape();
  const std::int64_t step_h = std::max<std::int64_t>(1, s[2] / 32),
                     step_w = std::max<std::int64_t>(1, s[3] / 32);
  auto& [n, products, sums, count] = of;
  std::vector<double> patch(n);
  for (std::int64_t image = 0; image < s[0]; ++image) {
    for (std::int64_t h = 0; h + height <= s[2]; h += step_h) {
      for (std::int64_t w = 0; w + width <= s[3]; w += step_w) {
        std::size_t i = 0;
        for (std::int64_t c = 0; c < s[1]; ++c) {
          for (std::int64_t y = 0; y < height; ++y) {
            const float* row = images.values().data() + ((image * s[1] + c) * s[2] + h + y) * s[3] + w;
            for (std::int64_t x = 0; x < width; ++x) patch[i++] = static_cast<double>(row[x]);
          }
        }
        for (std::size_t a = 0; a < n; ++a) {
          sums[a] += patch[a];
          for (std::size_t b = 0; b <= a; ++b) products[a * n + b] += patch[a] * patch[b];
        }
        count += 1;
      }
    }
  }
}

Matrix covariance_of(const PatchSums& of) {
  const auto& [n, of_products, sums, count] = of;
  Matrix products = of_products;
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t b = 0; b <= a; ++b)
      products[a * n + b] = products[b * n + a] = (products[a * n + b] - sums[a] * sums[b] / count) / count;
  }
  return products;
}

// Filter i of each group gives the group's channel i.
void give_channels(Parameter& weight, std::int64_t groups) {
  const Shape& s = weight.shape;
  if (s[2] % 2 == 0 || s[3] % 2 == 0) return;
  const std::int64_t pixels = s[2] * s[3], filters = s[0] / groups;
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t i = 0; i < std::min(filters, s[1]); ++i) {
      float* filter = weight.value.values().data() + (group * filters + i) * s[1] * pixels;
      std::fill_n(filter, s[1] * pixels, 0.0F);
      filter[i * pixels + pixels / 2] = 1;
    }
  }
}

void begin_as_identity(Module& module) {
  if (dynamic_cast<const SqueezeExcite*>(&module) != nullptr) return;  // its convolutions make gates
  if (const auto* conv = dynamic_cast<const Conv2d*>(&module)) {
    Parameter& weight = module.parameters().front();
    if (!weight.deviation) give_channels(weight, conv->options().groups);  // not a classifier
  }
  for (const Module::Child& child : module.children()) begin_as_identity(*child.module);
}

void zero_branch_ends(Module& module) {
  const auto* block = dynamic_cast<const ResidualBlock*>(&module);
  if (block != nullptr && block->branch_end() != nullptr) {
    for (Parameter& parameter : block->branch_end()->parameters()) {
      if (parameter.kind == ParameterKind::norm_weight || parameter.kind == ParameterKind::weight)
        std::ranges::fill(parameter.value.values(), 0.0F);
    }
  }
  for (const Module::Child& child : module.children()) zero_branch_ends(*child.module);
}

// These change values that are there.
void require_set(Module& net) {
  for_each_parameter(net, [](const std::string& name, const Parameter& parameter) {
    if (!parameter.set)
      throw ConfigError(name + " has no value yet that could be changed", "call init() first");
  });
}

}  // namespace

void init_dirac(Module& net) {
  require_set(net);
  begin_as_identity(net);
}

void init_zero_gamma(Module& net) {
  require_set(net);
  zero_branch_ends(net);
}

std::string init_whitening(Module& net, const Tensor& images) {
  const Tensor* batch = &images;
  return init_whitening(net, [&batch] { return std::exchange(batch, nullptr); });
}

std::string init_whitening(Module& net, const std::function<const Tensor*()>& next) {
  require_set(net);
  const Tensor* images = next();
  if (images == nullptr || images->shape()[0] == 0) throw ConfigError("whitening needs images");
  Parameter *weight = nullptr, *bias = nullptr;
  std::string path;
  for_each_parameter(net, [&](const std::string& name, Parameter& parameter) {
    const std::string owner = name.substr(0, name.rfind('.'));
    if (weight == nullptr && parameter.kind == ParameterKind::weight) {
      weight = &parameter;
      path = owner;
    } else if (owner == path && parameter.kind == ParameterKind::bias) {
      bias = &parameter;
    }
  });
  if (weight == nullptr || weight->shape.rank() != 4 || weight->shape[1] != images->shape()[1] ||
      images->shape()[2] < weight->shape[2] || images->shape()[3] < weight->shape[3]) {
    throw ConfigError("whitening needs a network that begins with a convolution of the images' channels");
  }
  const Shape& s = weight->shape;
  const auto n = static_cast<std::size_t>(s[1] * s[2] * s[3]);
  PatchSums sums(n);
  for (; images != nullptr; images = next()) add_patches(sums, *images, s[2], s[3]);
  const Eigen eigen = eigen_of(covariance_of(sums), n);
  constexpr double kEps = 5e-4;
  for (std::size_t filter = 0; filter < std::min(static_cast<std::size_t>(s[0]), 2 * n); ++filter) {
    const std::size_t i = filter % n;
    const double scale = (filter < n ? 1 : -1) / std::sqrt(std::max(0.0, eigen.values[i]) + kEps);
    for (std::size_t k = 0; k < n; ++k)
      weight->value.values()[filter * n + k] = static_cast<float>(scale * eigen.vectors[i][k]);
  }
  if (bias != nullptr) std::ranges::fill(bias->value.values(), 0.0F);
  return path;
}

}  // namespace resnet::nn
