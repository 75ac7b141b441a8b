// A norm behind which a pool chooses, and a stem's convolution with both, in the emulator. The stem's numbers
// are small integers, which bf16 holds, so that its results have to be those of the reference exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gpu/map_values.h"
#include "gpu/operation_case.h"
#include "kernels/conv/conv.h"
#include "kernels/pool/pool.h"
#include "ops/batch_norm.h"
#include "ops/conv2d_pooled.h"

namespace resnet {
namespace {

using kernels::PoolGeometry;
using ops::make;
using test::as_bf16;
using test::channel_of;
using test::expect_near;
using test::f32;
using test::Operands;
using test::OperationCase;
using test::random_values;
using test::Values;
using test::view;

// Calls f(output, input, tap) for the inputs that the window of each output of a channel's map meets, all as
// places in the public layout.
template <class F>
void for_windows(const PoolGeometry& g, const F& f) {
  for (std::int64_t map = 0; map < g.n * g.c; ++map) {
    for (std::int64_t out = 0; out < g.ho() * g.wo(); ++out) {
      for (std::int64_t tap = 0; tap < g.kh * g.kw; ++tap) {
        const std::int64_t h = out / g.wo() * g.sh - g.ph + tap / g.kw,
                           w = out % g.wo() * g.sw - g.pw + tap % g.kw;
        if (h < 0 || h >= g.h || w < 0 || w >= g.w) continue;
        f(static_cast<std::size_t>(map * g.ho() * g.wo() + out),
          static_cast<std::size_t>((map * g.h + h) * g.w + w), static_cast<double>(tap));
      }
    }
  }
}

struct Chosen {
  Values values, taps;
  std::vector<std::size_t> places;
};
// By the largest sign * x, the first where several are equal.
Chosen chosen_of(const PoolGeometry& g, const Values& x, const Values& sign) {
  const auto outputs = static_cast<std::size_t>(g.n * g.c * g.ho() * g.wo());
  Chosen chosen{Values(outputs), Values(outputs, -1), std::vector<std::size_t>(outputs)};
  for_windows(g, [&](std::size_t out, std::size_t in, double tap) {
    const double s = sign[static_cast<std::size_t>(channel_of(in, {g.n, g.c, g.h, g.w}))];
    if (chosen.taps[out] >= 0 && !(s * x[in] > s * chosen.values[out])) return;
    chosen.values[out] = x[in];
    chosen.taps[out] = tap;
    chosen.places[out] = in;
  });
  return chosen;
}

const ops::PoolWindow kWindow{{3, 3}, {2, 2}, {1, 1}};

// Scales of both signs and zero.
Values gamma_of(std::int64_t c) {
  Values gamma;
  for (std::int64_t i = 0; i < c; ++i)
    gamma.push_back(i % 7 == 3 ? 0 : i % 3 == 1 ? -1.5 : 1 + static_cast<double>(i % 2));
  return gamma;
}

struct PoolCase {
  Shape x;
  ops::PoolWindow window;
  DType storage;
};
std::vector<PoolCase> pool_cases() {
  std::vector<PoolCase> cases;
  for (const DType storage : {DType::f32, DType::bf16}) {
    cases.push_back({{2, 5, 7, 9}, kWindow, storage});
    cases.push_back({{1, 16, 7, 5}, {{2, 3}, {1, 2}, {1, 0}}, storage});
    cases.push_back({{3, 24, 6, 8}, kWindow, storage});
    cases.push_back({{1, 2, 17, 34}, {{17, 17}, {17, 17}, {0, 0}}, storage});  // its index needs i32
  }
  return cases;
}

TEST(GpuNormPool, ChoosesByTheSignOfTheScaleAndNormalizesWhatWasChosen) {
  using Out = ops::BatchNormOutput;
  for (const auto& [shape, window, storage] : pool_cases()) {
    const PoolGeometry g = ops::pool_geometry(window, shape);
    const std::int64_t c = shape[1];
    const Values gamma = gamma_of(c), beta = random_values(c, "beta");
    const OperationCase fused{
        .op = make<ops::BatchNorm>(ops::BatchNormOptions{.training = true, .relu = true, .pool = window}),
        .inputs = {f32(shape), f32({c}), f32({c}), f32({c}), f32({c})},
        .values =
            {{}, gamma, beta, Values(static_cast<std::size_t>(c)), Values(static_cast<std::size_t>(c), 1)},
        .storage = storage};
    const Operands got = test::run_operation(fused);
    const Values& x = got.inputs[0];
    const Chosen chosen = chosen_of(g, x, gamma);
    EXPECT_EQ(got.outputs[Out::pool_index], chosen.taps);
    Values z;
    for (std::size_t i = 0; i < chosen.values.size(); ++i) {
      const auto k = static_cast<std::size_t>(channel_of(i, ops::pooled_shape(g)));
      const double v =
          (chosen.values[i] - got.outputs[Out::mean][k]) * got.outputs[Out::inv_std][k] * gamma[k] + beta[k];
      z.push_back(std::max(v, 0.0));
    }
    expect_near(got.outputs[Out::y], z, storage == DType::bf16 ? 0x1p-8 : 0, "z");
    if (HasFailure()) return;
  }
}

TEST(GpuNormPool, GradientGoesToWhatWasChosen) {
  using In = ops::BatchNormGradientInput;
  using Out = ops::BatchNormGradientOutput;
  for (const PoolCase& pool : pool_cases()) {
    const Shape& shape = pool.x;
    const ops::PoolWindow& window = pool.window;
    for (const bool gated : {true, false}) {
      const PoolGeometry g = ops::pool_geometry(window, shape);
      const Shape pooled = ops::pooled_shape(g);
      const std::int64_t c = shape[1];
      const Values gamma = gamma_of(c), x = random_values(shape.elements(), "gpu/1");
      Values inv_std(static_cast<std::size_t>(c), 0.75);
      OperationCase fused{.op = make<ops::BatchNormGradient>(ops::BatchNormGradientOptions{
                              .gate = gated ? ops::Gate::value : ops::Gate::none, .pool = window}),
                          .inputs = {f32(pooled), f32(shape), f32({c}), f32({c}), f32({c}),
                                     ops::ValueType{pooled, kernels::max_pool_index_dtype(g)},
                                     gated ? std::optional(f32(pooled)) : std::nullopt},
                          .values = {{}, x, gamma, {}, inv_std, chosen_of(g, x, gamma).taps, {}},
                          .storage = pool.storage};
      const Operands got = test::run_operation(fused);
      const Values& dz = got.inputs[In::dz];
      const Values& stored = got.inputs[In::x];
      Values dgamma(inv_std.size()), dbeta(inv_std.size()), spread(stored.size());
      for_windows(g, [&](std::size_t out, std::size_t in, double tap) {
        if (tap != got.inputs[In::pool_index][out] || (gated && got.inputs[In::gate][out] <= 0)) return;
        const auto k = static_cast<std::size_t>(channel_of(in, shape));
        spread[in] += dz[out];
        dbeta[k] += dz[out];
        dgamma[k] += dz[out] * (stored[in] - got.inputs[In::mean][k]) * inv_std[k];
      });
      Values dx;
      const auto rows = static_cast<double>(shape.elements() / c);
      for (std::size_t i = 0; i < stored.size(); ++i) {
        const auto k = static_cast<std::size_t>(channel_of(i, shape));
        const double scale = gamma[k] * inv_std[k], d = stored[i] - got.inputs[In::mean][k];
        dx.push_back(scale * (spread[i] - d * inv_std[k] * dgamma[k] / rows - dbeta[k] / rows));
      }
      expect_near(got.outputs[Out::dbeta], dbeta, 0, "dbeta");
      expect_near(got.outputs[Out::dgamma], dgamma, 0, "dgamma");
      expect_near(got.outputs[Out::dx], dx, pool.storage == DType::bf16 ? 0x1p-8 : 0, "dx");
      if (HasFailure()) return;
    }
  }
}

struct StemCase {
  Shape x;
  std::int64_t co;
  ops::Pair kernel;
  ops::ConvWindow window;
};
const ops::ConvWindow kSeven{.stride = {2, 2}, .padding = {3, 3}};
// Strips that are whole, cut short, and one; odd and even maps; several inputs and tiles of outputs; other
// windows.
std::vector<StemCase> stem_cases() {
  return {{{2, 1, 25, 20}, 64, {7, 7}, kSeven},
          {{1, 3, 34, 17}, 128, {7, 7}, kSeven},
          {{3, 1, 5, 6}, 64, {7, 7}, kSeven},
          {{1, 2, 9, 12}, 64, {3, 3}, {.padding = {1, 1}}},
          {{1, 1, 16, 21}, 64, {5, 4}, {.stride = {1, 2}, .padding = {2, 1}}}};
}

// Integers from -most to most.
Values integers(std::int64_t count, const char* name, int most) {
  Values values = random_values(count, name, 100);
  for (double& v : values)
    v = static_cast<double>(static_cast<std::int64_t>(std::abs(v)) % (2 * most + 1) - most);
  return values;
}

// A stem's operands and what its convolution makes of them.
struct Stem {
  Shape w, map, pooled;
  kernels::ConvGeometry conv;
  PoolGeometry pool;
  Values x, weights, bias, y;

  explicit Stem(const StemCase& c)
      : w{c.co, c.x[1], c.kernel.h, c.kernel.w},
        conv(ops::conv_geometry(c.window, c.x, w)),
        x(integers(c.x.elements(), "x", 2)),
        weights(integers(w.elements(), "w", 1)),
        bias(integers(c.co, "bias", 3)) {
    map = {conv.n, conv.co, conv.ho(), conv.wo()};
    pool = ops::pool_geometry(kWindow, map);
    pooled = ops::pooled_shape(pool);
    y.resize(static_cast<std::size_t>(map.elements()));
    kernels::reference_conv_forward(conv, view(x, c.x), view(weights, w), view(bias, {c.co}),
                                    {y.data(), map});
    for (double& v : y) v = as_bf16(v);
  }
};

TEST(GpuStem, ChoosesOfAConvolutionAndGivesItsMoments) {
  using Out = ops::Conv2dPooledOutput;
  for (const StemCase& c : stem_cases()) {
    const Stem stem(c);
    for (const DType storage : {DType::bf16, DType::f32}) {  // of x
      const Values gamma = gamma_of(c.co);
      const OperationCase fused{.op = make<ops::Conv2dPooled>(ops::Conv2dPooledOptions{c.window, kWindow}),
                                .inputs = {f32(c.x), f32(stem.w), f32({c.co}), f32({c.co})},
                                .values = {stem.x, stem.weights, stem.bias, gamma},
                                .storage = DType::bf16,
                                .first_is_f32 = storage == DType::f32};
      const Operands got = test::run_operation(fused);
      const Chosen chosen = chosen_of(stem.pool, stem.y, gamma);
      EXPECT_EQ(got.outputs[Out::y], chosen.values);
      EXPECT_EQ(got.outputs[Out::index], chosen.taps);
      test::expect_moments(got.outputs[Out::moments], stem.y, stem.map);
      if (HasFailure()) return;
    }
  }
}

TEST(GpuStem, GradientOfWeightsMakesTheMapAgain) {
  using In = ops::Conv2dPooledWeightGradientInput;
  for (const StemCase& c : stem_cases()) {
    const Stem stem(c);
    for (const bool gated : {true, false}) {
      Values table = integers(4 * c.co, "table", 3);
      for (std::int64_t k = 0; k < c.co; ++k)
        table[static_cast<std::size_t>(2 * c.co + k)] = static_cast<double>(k % 3 - 1);
      const OperationCase fused{
          .op = make<ops::Conv2dPooledWeightGradient>(ops::Conv2dPooledOptions{c.window, kWindow}),
          .inputs = {f32(c.x), f32(stem.w), f32({c.co}), f32(stem.pooled),
                     ops::ValueType{stem.pooled, DType::u8},
                     gated ? std::optional(f32(stem.pooled)) : std::nullopt, f32({4, c.co})},
          .values = {stem.x,
                     stem.weights,
                     stem.bias,
                     integers(stem.pooled.elements(), "dz", 2),
                     chosen_of(stem.pool, stem.y, gamma_of(c.co)).taps,
                     {},
                     table},
          .storage = DType::bf16};
      const Operands got = test::run_operation(fused);
      Values dy(stem.y.size());
      for_windows(stem.pool, [&](std::size_t out, std::size_t in, double tap) {
        if (tap == got.inputs[In::index][out] && !(gated && got.inputs[In::gate][out] <= 0))
          dy[in] += got.inputs[In::dz][out];
      });
      for (std::size_t i = 0; i < dy.size(); ++i) {
        const auto row = [&](std::int64_t r) {
          return table[static_cast<std::size_t>(r * c.co + channel_of(i, stem.map))];
        };
        dy[i] = as_bf16(dy[i] * row(1) + (stem.y[i] - row(0)) * row(2) + row(3));
      }
      Values dw(static_cast<std::size_t>(stem.w.elements()));
      kernels::reference_conv_weight_gradient(stem.conv, view(stem.x, c.x), view(dy, stem.map),
                                              {dw.data(), stem.w});
      EXPECT_EQ(got.outputs[0], dw);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace resnet
