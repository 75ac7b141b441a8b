// As nonfinite_test.cpp: pools, norms, maps of single elements, and a convolution with its pool.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "conv_case.h"
#include "kernels/conv/stem/stem.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"
#include "nonfinite_case.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

struct Machine {
  Isa isa;
  DType storage;
};
std::vector<Machine> machines() {
  std::vector<Machine> all;
  for (const ConvMachine& m : conv_machines()) all.push_back({m.isa, m.storage});
  return all;
}

/// With windows that overlap, lie apart, and have more places than a byte.
std::vector<PoolGeometry> pools() {
  return {{.c = 7, .h = 9, .w = 8, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1},
          {.c = 19, .h = 6, .w = 7, .kh = 2, .kw = 2, .sh = 2, .sw = 2},
          {.c = 3, .h = 5, .w = 4, .kh = 17, .kw = 17, .sh = 1, .sw = 2, .ph = 8, .pw = 8},
          {.c = 64, .h = 5, .w = 6, .kh = 3, .kw = 2, .ph = 1, .pw = 1}};
}

/// Calls check(machine, pool of an image for each place and kind).
template <class Check>
void for_pools(const Check& check) {
  for (const Machine& m : machines()) {
    for (PoolGeometry g : pools()) {
      g.n = images_of(g.h, g.w, g.c).n;
      SCOPED_TRACE(std::string(name_of(m.isa)) + ", " + std::string(name_of(m.storage)) + ", " +
                   to_string(Shape{g.n, g.c, g.h, g.w}) + ", kernel " + to_string(Shape{g.kh, g.kw}));
      check(m, g);
    }
  }
}

Map map_of(const PoolGeometry& g) {
  return {g.n, g.h, g.w, g.c};
}
Map pooled(const PoolGeometry& g) {
  return {g.n, g.ho(), g.wo(), g.c};
}
Values stored(const Values& values, DType storage) {
  return values_of(activations(values, storage).content, storage);
}
Operand index_output(const PoolGeometry& g) {
  const Index count = pooled(g).elements();
  return max_pool_index_dtype(g) == DType::u8 ? output<std::uint8_t>(count) : output<std::int32_t>(count);
}
Values indices(const Result& result, std::size_t i, const PoolGeometry& g) {
  Values values;
  if (max_pool_index_dtype(g) == DType::u8) {
    for (const auto v : result.get<std::uint8_t>(i)) values.push_back(v);
  } else {
    for (const auto v : result.get<std::int32_t>(i)) values.push_back(v);
  }
  return values;
}
template <class T>
Operand index_input(const Values& index) {
  return input(rounded<T>(index));
}
Operand index_input(const PoolGeometry& g, const Values& index) {
  return max_pool_index_dtype(g) == DType::u8 ? index_input<std::uint8_t>(index)
                                              : index_input<std::int32_t>(index);
}

struct Chosen {
  Values y, index;
};
/// The readable max pool, of the kernels' layout.
Chosen max_pool(const PoolGeometry& g, const Values& x) {
  const Map from = map_of(g), to = pooled(g);
  Chosen result{Values(static_cast<std::size_t>(to.elements())),
                Values(static_cast<std::size_t>(to.elements()))};
  reference_max_pool(g, view(to_public(from, x), from.shape()), target(result.y, to.shape()),
                     target(result.index, to.shape()));
  return {to_native(to, result.y), to_native(to, result.index)};
}

TEST(NotFinite, IsTheMaximumThatPyTorchFinds) {
  for_pools([](const Machine& m, const PoolGeometry& g) {
    const Values x =
        poisoned(map_of(g), stored(Numbers("not finite").normal(map_of(g).elements()), m.storage));
    const Chosen expected = max_pool(g, x);
    const Result result = run_with(
        *make_max_pool(g, m.isa, m.storage),
        {activations(x, m.storage), activations_output(pooled(g).elements(), m.storage), index_output(g)}, 1);
    EXPECT_TRUE(equal(values_of(result.bytes(1), m.storage), expected.y));
    EXPECT_TRUE(equal(indices(result, 2, g), expected.index));
  });
}

TEST(NotFinite, PassesAveragesAndThePoolsGradients) {
  using Reference = void (*)(const PoolGeometry&, View<const double>, View<double>);
  for_pools([](const Machine& m, const PoolGeometry& g) {
    const Map x = map_of(g), y = pooled(g);
    const Values index = max_pool(g, Numbers("places").normal(x.elements())).index;
    const auto expect = [&](const Kernel& kernel, const Map& from, const Map& to, const auto& reference,
                            bool indexed) {
      SCOPED_TRACE(std::string(kernel.name()));
      const Values in = Numbers("not finite").normal(from.elements());
      const auto native = [&](const Values& values) {
        std::vector<Operand> operands = {activations(values, m.storage)};
        if (indexed) operands.push_back(index_input(g, index));
        operands.push_back(activations_output(to.elements(), m.storage));
        return values_of(run_with(kernel, operands, 1).bytes(operands.size() - 1), m.storage);
      };
      const auto readable = [&](const Values& values) {
        Values result(static_cast<std::size_t>(to.elements()));
        reference(view(to_public(from, values), from.shape()), target(result, to.shape()));
        return to_native(to, result);
      };
      expect_kinds(to, native(poisoned(from, in)), native(in),
                   {readable(poisoned(from, in)), readable(poisoned(from, in, kNan)), 0});
    };
    const auto of = [&](Reference reference) {
      return [&g, reference](View<const double> in, View<double> out) { reference(g, in, out); };
    };
    expect(*make_avg_pool(g, m.isa, m.storage), x, y, of(&reference_avg_pool), false);
    expect(*make_avg_pool_gradient(g, m.isa, m.storage), y, x, of(&reference_avg_pool_gradient), false);
    const Values places = to_public(y, index);
    expect(
        *make_max_pool_gradient(g, m.isa, m.storage), y, x,
        [&](View<const double> dy, View<double> dx) {
          reference_max_pool_gradient(g, dy, view(places, y.shape()), dx);
        },
        true);
  });
}

/// Positive, negative and zero.
Values factors(Index channels) {
  Values gamma = Numbers("gamma").normal(channels);
  for (std::size_t i = 1; i < gamma.size(); i += 3) gamma[i] = 0;
  return gamma;
}
Values times(Values x, const Values& factor) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= factor[i % factor.size()];
  return x;
}

TEST(NotFinite, PassesANormAndItsPool) {
  for_pools([](const Machine& m, const PoolGeometry& g) {
    const Values x = poisoned(map_of(g), Numbers("not finite").normal(map_of(g).elements())),
                 gamma = factors(g.c), zeros(gamma.size()), ones(gamma.size(), 1.0);
    const Chosen expected = max_pool(g, times(x, gamma));
    for (const bool relu : {false, true}) {
      const NormGeometry norm = {.n = g.n, .c = g.c, .pixels = g.h * g.w, .relu = relu, .pool = g};
      const Result result =
          run_with(*make_norm_eval(norm, m.isa, m.storage),
                   {activations(x, m.storage), input(gamma), input(zeros), input(zeros), input(ones),
                    activations_output(pooled(g).elements(), m.storage), index_output(g)},
                   1);
      const Values z = values_of(result.bytes(5), m.storage), index = indices(result, 6, g);
      for (std::size_t i = 0; i < z.size(); ++i) {
        const double want = relu && expected.y[i] <= 0 ? 0.0 : expected.y[i];
        ASSERT_EQ(kind_of(z[i]), kind_of(want)) << "at [" << i << "]";
        if (kind_of(expected.y[i]) != 0) ASSERT_EQ(index[i], expected.index[i]) << "at [" << i << "]";
      }
    }
  });
}

TEST(NotFinite, PassesMapsOfSingleElements) {
  constexpr Index kCount = 83;
  Values good = Numbers("not finite").normal(kCount), bad = good;
  for (std::size_t i = 0; i < bad.size(); ++i) bad[i] = i % 4 == 3 ? good[i] : kKinds[i % 4];
  for (const Machine& m : machines()) {
    const auto expect = [&](const Kernel& kernel, std::vector<Operand> operands, const Values& expected) {
      operands.push_back(activations_output(kCount, m.storage));
      const Values actual = values_of(run_with(kernel, operands, 1).bytes(operands.size() - 1), m.storage);
      for (std::size_t i = 0; i < actual.size(); ++i)
        EXPECT_EQ(kind_of(actual[i]), kind_of(expected[i])) << kernel.name() << " at [" << i << "]";
    };
    const Operand a = activations(good, m.storage), b = activations(bad, m.storage);
    Values expected(bad.size());
    reference_relu(view(bad), target(expected));
    expect(*make_relu(kCount, m.isa, m.storage), {b}, expected);
    reference_add(view(bad), view(good), target(expected));
    expect(*make_add(kCount, m.isa, m.storage), {b, a}, expected);
    reference_relu_gradient(view(bad), view(good), target(expected));
    expect(*make_relu_gradient(kCount, m.isa, m.storage), {b, a}, expected);
    reference_relu_gradient(view(good), view(bad), target(expected));
    for (std::size_t i = 0; i < bad.size(); ++i)
      EXPECT_EQ(expected[i] != 0, bad[i] > 0 || std::isnan(bad[i])) << "PyTorch's gate at [" << i << "]";
    const Result gated = run_with(*make_relu_gradient(kCount, m.isa, m.storage),
                                  {a, b, activations_output(kCount, m.storage)}, 1);
    EXPECT_TRUE(equal(values_of(gated.bytes(2), m.storage), stored(expected, m.storage)));
    reference_dropout(0.5, 3, 7, 1, {bad.data(), {1, kCount}}, {expected.data(), {1, kCount}});
    for (std::size_t i = 0; i < bad.size(); ++i)
      EXPECT_EQ(std::isfinite(expected[i]), std::isfinite(bad[i])) << "dropout at [" << i << "]";
    expect(*make_dropout(0.5, 3, 1, kCount, 1, m.isa, m.storage), {b, input(std::vector<std::int64_t>{7, 1})},
           expected);
  }
}

TEST(NotFinite, OpensTheGateOfANormsReLU) {
  const NormGeometry g = {.n = 1, .c = 5, .pixels = 33, .add = true, .relu = true, .relu_mask = true};
  const Index count = g.rows() * g.c;
  Numbers numbers("not finite");
  const Values x = numbers.normal(count), dz = numbers.normal(count), per_channel = numbers.normal(g.c),
               variance(static_cast<std::size_t>(g.c), 1.0);
  Values residual = numbers.normal(count);
  for (std::size_t i = 0; i < residual.size(); i += 3) residual[i] = kKinds[i / 3 % 3];
  for (const Machine& m : machines()) {
    const Operand channels = input(per_channel), empty = output(g.c);
    const Result forward =
        run_with(*make_norm_train(g, m.isa, m.storage),
                 {activations(x, m.storage), channels, channels, channels, input(variance),
                  activations(residual, m.storage), activations_output(count, m.storage), empty, empty,
                  absent(), absent(), output<std::uint8_t>(relu_mask_bytes(count))},
                 1);
    const Values z = values_of(forward.bytes(6), m.storage);
    NormGeometry by_value = g;
    by_value.relu_mask = false;
    for (const NormGeometry& gradient : {g, by_value}) {
      const Operand gate =
          gradient.relu_mask ? input(forward.get<std::uint8_t>(11)) : activations(z, m.storage);
      const Result result =
          run_with(*make_norm_gradient(gradient, m.isa, m.storage),
                   {activations(dz, m.storage), activations(x, m.storage), channels, input(forward.get(7)),
                    input(forward.get(8)), gate, activations_output(count, m.storage), empty, empty,
                    activations_output(count, m.storage)},
                   1);
      const Values gated = values_of(result.bytes(9), m.storage);
      for (std::size_t i = 0; i < gated.size(); ++i)
        EXPECT_EQ(gated[i] != 0, !(z[i] <= 0)) << "z of " << z[i] << ", mask " << gradient.relu_mask;
    }
  }
}

TEST(NotFinite, OpensTheGateOfANormsReLUBehindItsPool) {
  for_pools([](const Machine& m, const PoolGeometry& g) {
    const NormGeometry norm = {.n = g.n, .c = g.c, .pixels = g.h * g.w, .relu = true, .pool = g};
    Numbers numbers("not finite");
    const Map from = map_of(g), to = pooled(g);
    const Values x = numbers.normal(from.elements()), dz = numbers.normal(to.elements()),
                 ones(dz.size(), 1.0), nans(dz.size(), kNan);
    const Operand channels = input(numbers.normal(g.c)), empty = output(g.c);
    const auto gradient = [&](const Values& z) {
      return run_with(*make_norm_gradient(norm, m.isa, m.storage),
                      {activations(dz, m.storage), activations(x, m.storage), channels, channels, channels,
                       index_input(g, max_pool(g, x).index), activations(z, m.storage),
                       activations_output(from.elements(), m.storage), empty, empty},
                      1);
    };
    const Result open = gradient(ones), not_shut = gradient(nans);
    for (const std::size_t i : {7, 8, 9}) EXPECT_EQ(not_shut.bytes(i), open.bytes(i)) << "result " << i;
  });
}

/// A stem: 7x7 at stride 2, then a pool.
struct Stem {
  ConvGeometry conv;
  PoolGeometry pool;
  Index weights() const { return conv.kh * conv.kw * conv.ci * conv.co; }
  Map x() const { return {conv.n, conv.h, conv.w, conv.ci}; }
};
Stem stem(Index n, Index ci, Index h, Index w, PoolGeometry pool) {
  const ConvGeometry g = {
      .n = n, .ci = ci, .co = 6, .h = h, .w = w, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3, .pw = 3};
  pool.n = n, pool.c = g.co, pool.h = g.ho(), pool.w = g.wo();
  return {g, pool};
}
constexpr PoolGeometry kOverlapping = {.kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1, .pw = 1};
constexpr PoolGeometry kApart = {.kh = 2, .kw = 2, .sh = 2, .sw = 2};
constexpr PoolGeometry kWide = {.kh = 4, .kw = 3, .sh = 1, .sw = 2, .ph = 1, .pw = 0};

/// What a stem's kernels read and write, by an instruction set.
struct StemMachine {
  Isa isa;
  ConvStorage storage;
};
std::vector<StemMachine> stem_machines() {
  std::vector<StemMachine> all;
  for (const Isa isa : isas()) all.push_back({isa, {}});
  if (best_isa() == Isa::avx512_bf16) all.push_back({Isa::avx512_bf16, {DType::f32, DType::bf16}});
  return all;
}

TEST(NotFinite, IsChosenByAPoolFusedIntoItsConvolution) {
  for (const ConvPoolAlgorithm* by : conv_pool_algorithms()) {
    for (const StemMachine& m : stem_machines()) {
      for (const PoolGeometry& window : {kOverlapping, kApart, kWide}) {
        const Index ci = window.kh == 2 ? 3 : 1;
        const Stem s = stem(images_of(17, 22, 1).n, ci, 17, 22, window);
        SCOPED_TRACE(std::string(by->name()) + ", " + std::string(name_of(m.isa)) + ", " + text_of(s.conv) +
                     ", window " + to_string(Shape{window.kh, window.kw}));
        Numbers numbers("not finite");
        const Operand x = activations(poisoned(s.x(), numbers.normal(s.x().elements())), m.storage.in),
                      w = input(numbers.normal(s.weights()));
        const Values gamma = factors(s.conv.co);
        const Map map = map_of(s.pool), small = pooled(s.pool);
        // The convolution by itself: of bf16 pairs of pixels it spreads as this one does.
        const Result y = run_with(*algorithm("direct").make(s.conv, ConvPass::forward, m.isa, m.storage),
                                  {x, w, absent(), activations_output(map.elements(), m.storage.out)}, 1);
        const Chosen expected = max_pool(s.pool, times(values_of(y.bytes(3), m.storage.out), gamma));
        for (const bool indexed : {true, false}) {
          const Result result =
              run_with(*by->make(s.conv, s.pool, ConvPass::forward, m.isa, m.storage),
                       {x, w, absent(), input(gamma), activations_output(small.elements(), m.storage.out),
                        indexed ? index_output(s.pool) : absent(), output(3 * s.conv.co)},
                       1);
          const Values actual = times(values_of(result.bytes(4), m.storage.out), gamma);
          for (std::size_t i = 0; i < actual.size(); ++i)
            ASSERT_EQ(kind_of(actual[i]), kind_of(expected.y[i])) << "at [" << i << "]";
          if (indexed) EXPECT_TRUE(equal(indices(result, 5, s.pool), expected.index));
        }
      }
    }
  }
}

TEST(NotFinite, PassesTheWeightGradientOfAConvolutionWithAPool) {
  for (const ConvPoolAlgorithm* by : conv_pool_algorithms()) {
    for (const StemMachine& m : stem_machines()) {
      const Stem s = stem(1, 1, 9, 10, kOverlapping);
      SCOPED_TRACE(std::string(name_of(m.isa)) + ", " + std::string(name_of(m.storage.out)));
      const Map small = pooled(s.pool);
      Numbers numbers("not finite");
      const Values x = numbers.normal(s.x().elements()), w = numbers.normal(s.weights()),
                   dz = numbers.normal(small.elements()), table = numbers.normal(4 * s.conv.co),
                   z(dz.size(), 1.0),
                   index = max_pool(s.pool, numbers.normal(map_of(s.pool).elements())).index;
      const auto kernel = by->make(s.conv, s.pool, ConvPass::weight_gradient, m.isa, m.storage);
      const auto dw = [&](const Values& from, const Values& gradient, const Values& gate) {
        const Result result = run_with(
            *kernel,
            {activations(from, m.storage.in), input(w), absent(), activations(gradient, m.storage.out),
             index_input(s.pool, index), activations(gate, m.storage.out), input(table), output(s.weights())},
            1);
        return values_of(result.bytes(7), DType::f32);
      };
      // y is not finite where a window of x has such an element, so no weight's gradient is; that of dz
      // concerns the weights of its channel that meet the image at its place, those in the middle always.
      const auto middle = static_cast<std::size_t>((3 * s.conv.kw + 3) * s.conv.co);
      for_places(s.x(), x, [&](const Values& bad) {
        for (const double v : dw(bad, dz, z)) ASSERT_FALSE(std::isfinite(v));
      });
      for_places(small, dz, [&](const Values& bad) {
        const Values actual = dw(x, bad, z);
        int seen = 0;
        for (std::size_t c = 0; c < static_cast<std::size_t>(s.conv.co); ++c)
          seen += std::isfinite(actual[middle + c]) ? 0 : 1;
        ASSERT_EQ(seen, 1);
      });
      const Values open = dw(x, dz, z);
      for (const double gate : {kNan, kInf}) EXPECT_EQ(dw(x, dz, Values(z.size(), gate)), open);
    }
  }
}

}  // namespace
}  // namespace resnet::kernels
