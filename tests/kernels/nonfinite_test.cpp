// What is not finite stays so: a NaN or an infinity at any place comes out of a native kernel, whatever it
// fuses, where and as the parts give it one after the other. Winograd's kernels may spread it, within a tile.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "conv_case.h"
#include "kernels/norm/norm.h"
#include "nonfinite_case.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

struct Conv {
  ConvGeometry g;
  Map x() const { return {g.n, g.h, g.w, g.ci}; }
  Map y() const { return {g.n, g.ho(), g.wo(), g.co}; }
  Index in() const { return g.ci / g.groups; }
  Index weights() const { return g.kh * g.kw * in() * g.co; }
  Shape w_shape() const { return {g.co, in(), g.kh, g.kw}; }
  Values public_w(const Values& w) const {
    return transposed(transposed(w, 1, g.kh * g.kw * in(), g.co), g.co, g.kh * g.kw, in());
  }

  Values forward(const Values& from, const Values& w) const {
    Values result(static_cast<std::size_t>(y().elements()));
    reference_conv_forward(g, view(to_public(x(), from), x().shape()), view(public_w(w), w_shape()),
                           {nullptr, {g.co}}, target(result, y().shape()));
    return to_native(y(), result);
  }
  Values input_gradient(const Values& dy, const Values& w) const {
    Values result(static_cast<std::size_t>(x().elements()));
    reference_conv_input_gradient(g, view(to_public(y(), dy), y().shape()), view(public_w(w), w_shape()),
                                  target(result, x().shape()));
    return to_native(x(), result);
  }
  Values weight_gradient(const Values& from, const Values& dy) const {
    Values result(static_cast<std::size_t>(weights()));
    reference_conv_weight_gradient(g, view(to_public(x(), from), x().shape()),
                                   view(to_public(y(), dy), y().shape()), target(result, w_shape()));
    return transposed(transposed(result, g.co, in(), g.kh * g.kw), 1, g.co, g.kh * g.kw * in());
  }
};

double relu(double v) {
  return v <= 0 ? 0.0 : v;
}

/// (x - mean) * scale + offset, of three rows of a table.
Values normed(const Values& x, const Values& table, bool with_relu) {
  const std::size_t c = table.size() / 3;
  Values z(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    z[i] = (x[i] - table[i % c]) * table[c + i % c] + table[2 * c + i % c];
    if (with_relu) z[i] = relu(z[i]);
  }
  return z;
}
Values sum(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

struct Machine {
  Isa isa;
  ConvStorage storage;
};

std::vector<Machine> machines() {
  std::vector<Machine> all;
  for (const ConvMachine& m : conv_machines()) all.push_back({m.isa, {m.storage, m.storage}});
  if (best_isa() == Isa::avx512_bf16) all.push_back({Isa::avx512_bf16, {DType::f32, DType::bf16}});
  return all;
}

/// Ragged in pixels and channels, of every algorithm.
std::vector<ConvGeometry> geometries() {
  return {
      {.ci = 3, .co = 19, .h = 7, .w = 7, .kh = 3, .kw = 3, .ph = 1, .pw = 1},
      {.ci = 4, .co = 3, .h = 5, .w = 8, .kh = 3, .kw = 3, .ph = 2, .pw = 0},
      {.ci = 3, .co = 17, .h = 7, .w = 8, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
      {.ci = 2, .co = 5, .h = 7, .w = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 0, .pw = 2},
      {.ci = 3, .co = 5, .h = 8, .w = 7, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3, .pw = 3},
      {.ci = 6, .co = 17, .h = 5, .w = 6, .kh = 1, .kw = 1},
      {.ci = 9, .co = 12, .h = 5, .w = 6, .kh = 3, .kw = 3, .ph = 1, .pw = 1, .groups = 3},
      {.ci = 6, .co = 34, .h = 5, .w = 6, .kh = 3, .kw = 2, .sh = 1, .sw = 2, .ph = 2, .pw = 1, .groups = 2},
      {.ci = 2, .co = 7, .h = 6, .w = 7, .kh = 2, .kw = 3, .sh = 1, .sw = 2, .ph = 1, .pw = 2, .dh = 2}};
}

/// Pixels that an algorithm may spread what is not finite by: a tile's, or where pairs of bf16 cross pixels
/// one.
Index reach_of(const ConvAlgorithm& by, const ConvGeometry& g, ConvPass pass, ConvStorage storage) {
  if (by.name() == "F(3x3)") return 2;
  if (by.name() == "F(4x4)") return 3;
  if (by.name() == "F(6x6)") return 5;
  if (by.name() == "parity") return pass == ConvPass::forward ? 2 : 6;
  const bool pairs_cross_pixels = pass == ConvPass::forward && storage.out == DType::bf16 && g.ci % 2 != 0 &&
                                  g.kw % 2 != 0 && g.sw % 2 == 0;
  return pairs_cross_pixels ? 1 : 0;
}

/// Calls check(machine, algorithm, conv) for all that an algorithm serves; each serves something.
template <class Check>
void for_algorithms(ConvPass pass, const Check& check) {
  for (const ConvAlgorithm* by : conv_algorithms()) {
    int served = 0;
    for (const Machine& m : machines()) {
      for (const ConvGeometry& g : geometries()) {
        if (!by->serves(g, pass, m.storage)) continue;
        ++served;
        SCOPED_TRACE(std::string(name_of(m.isa)) + ", " + std::string(name_of(m.storage.in)) + " to " +
                     std::string(name_of(m.storage.out)) + ", " + std::string(by->name()) + ", " +
                     text_of(g));
        check(m, *by, Conv{g});
        if (::testing::Test::HasFailure()) return;
      }
    }
    EXPECT_TRUE(served > 0 || (by->name() == "F(6x6)" && pass == ConvPass::forward)) << by->name();
  }
}

Values values_at(const Result& result, std::size_t i, DType storage) {
  return values_of(result.bytes(i), storage);
}

TEST(NotFinite, PassesForwardConvolutionsAndWhatTheyFuse) {
  for_algorithms(ConvPass::forward, [](const Machine& m, const ConvAlgorithm& by, Conv conv) {
    conv.g.n = images_of(conv.g.h, conv.g.w, 1).n;
    Numbers numbers("not finite");
    const Values x = numbers.normal(conv.x().elements()), w = numbers.normal(conv.weights()),
                 before = numbers.normal(3 * conv.g.ci), after = numbers.normal(3 * conv.g.co),
                 addend = numbers.normal(conv.y().elements());
    const ConvFusion fusions[] = {{},
                                  {.moments = true},
                                  {.norm = true},
                                  {.norm = true, .relu = true, .moments = true},
                                  {.norm_epilogue = true},
                                  {.norm_epilogue = true, .relu_epilogue = true},
                                  {.norm_epilogue = true, .add = true, .relu_epilogue = true},
                                  {.norm = true, .relu = true, .norm_epilogue = true, .add = true}};
    for (const ConvFusion& f : fusions) {
      if (!by.fuses(conv.g, ConvPass::forward, m.storage, f)) continue;
      const auto kernel = by.make(conv.g, ConvPass::forward, m.isa, m.storage, f);
      SCOPED_TRACE(std::string(kernel->name()));
      const auto unfused = [&](const Values& from, const Values& added) {
        Values y = conv.forward(f.norm ? normed(from, before, f.relu) : from, w);
        if (f.norm_epilogue) y = normed(y, after, false);
        if (f.add) y = sum(std::move(y), added);
        for (double& v : y) v = f.relu_epilogue ? relu(v) : v;
        return y;
      };
      const auto fused = [&](const Values& from, const Values& added) {
        std::vector<Operand> operands = {activations(from, m.storage.in), input(w), absent()};
        if (f.norm) operands.push_back(input(before));
        if (f.norm_epilogue) operands.push_back(input(after));
        if (f.add) operands.push_back(activations(added, m.storage.out));
        operands.push_back(activations_output(conv.y().elements(), m.storage.out));
        const std::size_t y = operands.size() - 1;
        if (f.moments) operands.push_back(output(3 * conv.g.co));
        return values_at(run_with(*kernel, operands, 1), y, m.storage.out);
      };
      const Values clean = fused(x, addend);
      expect_kinds(conv.y(), fused(poisoned(conv.x(), x), addend), clean,
                   {unfused(poisoned(conv.x(), x), addend), unfused(poisoned(conv.x(), x, kNan), addend),
                    reach_of(by, conv.g, ConvPass::forward, m.storage)});
      if (!f.add) continue;
      expect_kinds(conv.y(), fused(x, poisoned(conv.y(), addend)), clean,
                   {unfused(x, poisoned(conv.y(), addend)), unfused(x, poisoned(conv.y(), addend, kNan)), 0});
    }
  });
}

// A gate at the border of zero shall not be opened by rounding alone.
Values as_stored(const Values& values, DType storage) {
  return values_of(activations(values, storage).content, storage);
}

TEST(NotFinite, PassesInputGradientsAndWhatTheyFuse) {
  using Sums = ConvFusion::Sums;
  for_algorithms(ConvPass::input_gradient, [](const Machine& m, const ConvAlgorithm& by, Conv conv) {
    if (m.storage.in != m.storage.out) return;  // of images: nobody asks
    conv.g.n = images_of(conv.g.h, conv.g.w, 1).n;
    Numbers numbers("not finite");
    const Values dy = numbers.normal(conv.y().elements()), w = numbers.normal(conv.weights()),
                 norm = numbers.normal(3 * conv.g.ci), addend = numbers.normal(conv.x().elements()),
                 norm_x = as_stored(numbers.normal(conv.x().elements()), m.storage.out);
    for (const bool add : {false, true}) {
      for (const Sums sums : {Sums::none, Sums::by_coefficients, Sums::by_relu_mask}) {
        const ConvFusion f = {.add = add, .sums = sums};
        if (!by.fuses(conv.g, ConvPass::input_gradient, m.storage, f)) continue;
        const auto kernel = by.make(conv.g, ConvPass::input_gradient, m.isa, m.storage, f);
        SCOPED_TRACE(std::string(kernel->name()));
        const auto unfused = [&](const Values& from, const Values& added, const Values& gate) {
          Values dx = conv.input_gradient(from, w);
          if (add) dx = sum(std::move(dx), added);
          const Values z = normed(gate, norm, true);
          for (std::size_t i = 0; i < dx.size() && sums != Sums::none; ++i) dx[i] = z[i] <= 0 ? 0.0 : dx[i];
          return dx;
        };
        const auto fused = [&](const Values& from, const Values& added, const Values& gate) {
          std::vector<Operand> operands = {activations(from, m.storage.in), input(w)};
          if (add) operands.push_back(activations(added, m.storage.out));
          if (sums != Sums::none) operands.push_back(activations(gate, m.storage.out));
          if (sums == Sums::by_coefficients) operands.push_back(input(norm));
          if (sums == Sums::by_relu_mask) {
            const Values z = normed(gate, norm, true);
            std::vector<std::uint8_t> mask(
                static_cast<std::size_t>(relu_mask_bytes(static_cast<Index>(z.size()))));
            for (std::size_t i = 0; i < z.size(); ++i)
              if (!(z[i] <= 0)) mask[i / 8] = static_cast<std::uint8_t>(mask[i / 8] | 1U << i % 8);
            operands.push_back(input(Values(norm.begin(), norm.begin() + conv.g.ci)));
            operands.push_back(input(mask));
          }
          operands.push_back(activations_output(conv.x().elements(), m.storage.out));
          const std::size_t dx = operands.size() - 1;
          if (sums != Sums::none) operands.push_back(output(3 * conv.g.ci));
          return values_at(run_with(*kernel, operands, 1), dx, m.storage.out);
        };
        const Values clean = fused(dy, addend, norm_x), bad_dy = poisoned(conv.y(), dy),
                     bad_addend = poisoned(conv.x(), addend), bad_x = poisoned(conv.x(), norm_x);
        const Values all_x = poisoned(conv.x(), norm_x, kNan);
        // A gate may hide what touches an element.
        Conv ungated = conv;
        expect_kinds(
            conv.x(), fused(bad_dy, addend, norm_x), clean,
            {unfused(bad_dy, addend, norm_x), ungated.input_gradient(poisoned(conv.y(), dy, kNan), w),
             reach_of(by, conv.g, ConvPass::input_gradient, m.storage)});
        if (add)
          expect_kinds(conv.x(), fused(dy, bad_addend, norm_x), clean,
                       {unfused(dy, bad_addend, norm_x), bad_addend, 0});
        if (sums == Sums::none) continue;
        // A NaN of a norm opens the gate, as ReLU's result it is not at most zero.
        const Values opened = fused(dy, addend, all_x), want = unfused(dy, addend, all_x);
        for (std::size_t i = 0; i < want.size(); ++i)
          ASSERT_EQ(opened[i] == 0, want[i] == 0) << "at [" << i << "], gate of " << all_x[i];
        expect_kinds(conv.x(), fused(dy, addend, bad_x), clean, {unfused(dy, addend, bad_x), bad_x, 0});
      }
    }
  });
}

TEST(NotFinite, PassesWeightGradientsAndWhatTheyFuse) {
  for_algorithms(ConvPass::weight_gradient, [](const Machine& m, const ConvAlgorithm& by, const Conv& conv) {
    Numbers numbers("not finite");
    const Values x = numbers.normal(conv.x().elements()), dy = numbers.normal(conv.y().elements()),
                 before = numbers.normal(3 * conv.g.ci), norm_x = numbers.normal(conv.y().elements()),
                 gradient = numbers.normal(4 * conv.g.co);
    const bool exactly = by.name() == "grouped" ||
                         (by.name() == "direct" && m.storage.out == DType::f32);  // no pairs of pixels
    for (const ConvFusion& f : {ConvFusion{}, ConvFusion{.norm = true, .relu = true},
                                ConvFusion{.norm = true, .relu = true, .norm_gradient = true}}) {
      if (!by.fuses(conv.g, ConvPass::weight_gradient, m.storage, f)) continue;
      const auto kernel = by.make(conv.g, ConvPass::weight_gradient, m.isa, m.storage, f);
      SCOPED_TRACE(std::string(kernel->name()));
      const auto check = [&](const Values& from, const Values& dz, const Values& second) {
        Values made = dz;
        const auto c = static_cast<std::size_t>(conv.g.co);
        for (std::size_t i = 0; i < made.size() && f.norm_gradient; ++i) {
          const std::size_t k = i % c;
          made[i] = dz[i] * gradient[c + k] +
                    ((second[i] - gradient[k]) * gradient[2 * c + k] + gradient[3 * c + k]);
        }
        std::vector<Operand> operands = {activations(from, m.storage.in), activations(dz, m.storage.out)};
        if (f.norm) operands.push_back(input(before));
        if (f.norm_gradient) {
          operands.push_back(activations(second, m.storage.out));
          operands.push_back(input(gradient));
        }
        operands.push_back(output(conv.weights()));
        const std::size_t dw = operands.size() - 1;
        if (f.norm_gradient) operands.push_back(activations_output(conv.y().elements(), m.storage.out));
        const Result result = run_with(*kernel, operands, 1);
        expect_no_finite(values_at(result, dw, DType::f32),
                         conv.weight_gradient(f.norm ? normed(from, before, f.relu) : from, made), exactly);
        if (f.norm_gradient) expect_no_finite(values_at(result, dw + 1, m.storage.out), made, true);
      };
      for_places(conv.x(), x, [&](const Values& bad) { check(bad, dy, norm_x); });
      for_places(conv.y(), dy, [&](const Values& bad) { check(x, bad, norm_x); });
      if (f.norm_gradient) for_places(conv.y(), norm_x, [&](const Values& bad) { check(x, dy, bad); });
    }
  });
}

TEST(NotFinite, ShowsInTheMomentsAndSumsThatConvolutionsAccumulate) {
  for_algorithms(ConvPass::forward, [](const Machine& m, const ConvAlgorithm& by, const Conv& conv) {
    const ConvFusion f = {.moments = true};
    if (!by.fuses(conv.g, ConvPass::forward, m.storage, f)) return;
    Numbers numbers("not finite");
    const Values x = numbers.normal(conv.x().elements()), w = numbers.normal(conv.weights());
    const auto kernel = by.make(conv.g, ConvPass::forward, m.isa, m.storage, f);
    for_places(conv.x(), x, [&](const Values& bad) {
      const Values y = conv.forward(bad, w);
      const Result result =
          run_with(*kernel,
                   {activations(bad, m.storage.in), input(w), absent(),
                    activations_output(conv.y().elements(), m.storage.out), output(3 * conv.g.co)},
                   1);
      const std::vector<float> moments = result.get(4);
      for (Index c = 0; c < conv.g.co; ++c) {
        bool seen = false;
        for (std::size_t i = static_cast<std::size_t>(c); i < y.size();
             i += static_cast<std::size_t>(conv.g.co))
          seen = seen || !std::isfinite(y[i]);
        if (seen) ASSERT_FALSE(std::isfinite(moments[static_cast<std::size_t>(2 * conv.g.co + c)])) << c;
      }
    });
  });
}

}  // namespace
}  // namespace resnet::kernels
