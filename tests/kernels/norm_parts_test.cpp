// A norm some of whose parts its neighbours do: what is given to it and what it leaves to them give what it
// computes alone, bit for bit where nothing is summed anew.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernel_test_support.h"
#include "kernels/norm/norm.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

/// A norm behind a ReLU and what it has computed alone.
struct Alone {
  NormGeometry g;
  Isa isa = Isa::avx2;
  DType storage = DType::f32;
  Values x, dz, gamma, beta, running_mean, running_var;
  Values z, mean, inv_std, new_mean, new_var;

  Index elements() const { return g.rows() * g.c; }
  std::vector<Operand> inputs() const {
    return {activations(x, storage), input(gamma), input(beta), input(running_mean), input(running_var)};
  }
};

Values as_values(const Result& result, std::size_t i, DType storage = DType::f32) {
  return values_of(result.bytes(i), storage);
}
Values stored(const Values& v, DType storage) {
  return values_of(activations(v, storage).content, storage);
}

template <class Check>
void for_cases(const Check& check) {
  std::vector<std::pair<Isa, DType>> machines;
  for (const Isa isa : isas()) machines.emplace_back(isa, DType::f32);
  if (best_isa() == Isa::avx512_bf16) machines.emplace_back(Isa::avx512_bf16, DType::bf16);
  for (const auto& [isa, storage] : machines) {
    for (const Shape& shape :
         {Shape{2, 64, 9, 7}, Shape{1, 3, 2, 2}, Shape{5, 7, 61, 50}, Shape{2, 513, 5, 1}}) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + to_string(shape));
      Numbers numbers("norm parts");
      Alone a;
      a.g = {.n = shape[0], .c = shape[1], .pixels = shape[2] * shape[3], .relu = true};
      a.isa = isa;
      a.storage = storage;
      a.x = stored(numbers.normal(a.elements(), 0.5), storage);
      a.dz = stored(numbers.normal(a.elements()), storage);
      a.gamma = numbers.normal(a.g.c);
      a.beta = numbers.normal(a.g.c);
      a.running_mean = numbers.normal(a.g.c);
      a.running_var = numbers.normal(a.g.c, 1, 0.1);
      std::vector<Operand> operands = a.inputs();
      operands.push_back(activations_output(a.elements(), a.storage));
      for (int i = 0; i < 4; ++i) operands.push_back(output(a.g.c));
      const Result result = run(*make_norm_train(a.g, isa, storage), operands);
      a.z = as_values(result, 5, storage);
      a.mean = as_values(result, 6);
      a.inv_std = as_values(result, 7);
      a.new_mean = as_values(result, 8);
      a.new_var = as_values(result, 9);
      check(a);
    }
  }
}

/// Mean, what rounding it left, and biased variance of each channel.
Values moments_of(const Values& x, std::size_t c) {
  Values moments(3 * c);
  const double rows = static_cast<double>(x.size() / c);
  for (std::size_t k = 0; k < c; ++k) {
    double mean = 0, squares = 0;
    for (std::size_t i = k; i < x.size(); i += c) mean += x[i] / rows;
    for (std::size_t i = k; i < x.size(); i += c) squares += (x[i] - mean) * (x[i] - mean) / rows;
    moments[k] = static_cast<double>(static_cast<float>(mean));
    moments[c + k] = mean - moments[k];
    moments[2 * c + k] = squares;
  }
  return moments;
}

/// z by a table, with the roundings of the kernel.
Values applied(const Values& x, const Values& table) {
  const std::size_t c = table.size() / 3;
  Values z;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t k = i % c;
    const float centred = static_cast<float>(x[i]) - static_cast<float>(table[k]);
    const float y = std::fma(centred, static_cast<float>(table[c + k]), static_cast<float>(table[2 * c + k]));
    z.push_back(y > 0 ? static_cast<double>(y) : 0.0);
  }
  return z;
}

TEST(NormParts, ATableAppliedIsTheNorm) {
  for_cases([](const Alone& a) {
    NormGeometry g = a.g;
    g.coefficients_only = true;
    std::vector<Operand> operands = a.inputs();
    operands.push_back(output(3 * g.c));
    for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
    const Result train = run(*make_norm_train(g, a.isa, a.storage), operands);
    EXPECT_TRUE(equal(stored(applied(a.x, as_values(train, 5)), a.storage), a.z));
    const Values* const expected[] = {&a.mean, &a.inv_std, &a.new_mean, &a.new_var};
    for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(equal(as_values(train, 6 + i), *expected[i])) << i;

    std::vector<Operand> plain = a.inputs();
    plain.push_back(activations_output(a.elements(), a.storage));
    const Values z = as_values(run(*make_norm_eval(a.g, a.isa, a.storage), plain), 5, a.storage);
    operands.resize(6);
    EXPECT_TRUE(equal(
        stored(applied(a.x, as_values(run(*make_norm_eval(g, a.isa, a.storage), operands), 5)), a.storage),
        z));
  });
}

TEST(NormParts, GivenMomentsServeAsItsOwn) {
  for_cases([](const Alone& a) {
    for (const bool coefficients_only : {false, true}) {
      NormGeometry g = a.g;
      g.stats_from_producer = true;
      g.coefficients_only = coefficients_only;
      std::vector<Operand> operands = a.inputs();
      if (coefficients_only) operands[0] = absent();
      operands.push_back(input(moments_of(a.x, static_cast<std::size_t>(g.c))));
      operands.push_back(coefficients_only ? output(3 * g.c) : activations_output(a.elements(), a.storage));
      for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
      const Result result = run(*make_norm_train(g, a.isa, a.storage), operands);
      const Values z = coefficients_only ? stored(applied(a.x, as_values(result, 6)), a.storage)
                                         : as_values(result, 6, a.storage);
      EXPECT_TRUE(close(z, a.z, [&](std::size_t i) {
        return 1e-6 * largest(a.z) + (a.storage == DType::bf16 ? 0x1p-7 * std::abs(a.z[i]) : 0);
      })) << "z";
      EXPECT_TRUE(close(as_values(result, 7), a.mean, 1e-6 * largest(a.x))) << "mean";
      EXPECT_TRUE(close(as_values(result, 10), a.new_var, 1e-6 * largest(a.new_var))) << "running variance";
    }
  });
}

TEST(NormParts, AGateByTableIsTheGateByZ) {
  for_cases([](const Alone& a) {
    NormGeometry g = a.g;
    g.coefficients_only = true;
    std::vector<Operand> operands = a.inputs();
    operands.push_back(output(3 * g.c));
    for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
    const Values table = as_values(run(*make_norm_train(g, a.isa, a.storage), operands), 5);
    const auto gradient = [&](const NormGeometry& geometry, const Operand& gate) {
      return run(
          *make_norm_gradient(geometry, a.isa, a.storage),
          {activations(a.dz, a.storage), activations(a.x, a.storage), input(a.gamma), input(a.mean),
           input(a.inv_std), gate, activations_output(a.elements(), a.storage), output(g.c), output(g.c)});
    };
    NormGeometry by_table = a.g;
    by_table.gate_by_coefficients = true;
    const Result expected = gradient(a.g, activations(a.z, a.storage)),
                 result = gradient(by_table, input(table));
    for (std::size_t i = 6; i < 9; ++i) EXPECT_EQ(result.bytes(i), expected.bytes(i)) << "operand " << i;
  });
}

TEST(NormParts, GivenSumsServeAsItsOwnAndATableAppliedIsTheGradient) {
  for_cases([](const Alone& a) {
    const auto c = static_cast<std::size_t>(a.g.c);
    Values masked = a.dz, sums(3 * c);
    for (std::size_t i = 0; i < masked.size(); ++i) {
      if (!(a.z[i] > 0)) masked[i] = 0;
      const double centred = a.x[i] - a.mean[i % c];
      sums[i % c] += masked[i];
      sums[c + i % c] += masked[i] * centred;
      sums[2 * c + i % c] += centred;
    }
    const Result alone = run(*make_norm_gradient(a.g, a.isa, a.storage),
                             {activations(a.dz, a.storage), activations(a.x, a.storage), input(a.gamma),
                              input(a.mean), input(a.inv_std), activations(a.z, a.storage),
                              activations_output(a.elements(), a.storage), output(a.g.c), output(a.g.c)});
    NormGeometry g = a.g;
    g.relu = false;
    g.stats_from_producer = true;
    const Result given = run(*make_norm_gradient(g, a.isa, a.storage),
                             {activations(masked, a.storage), activations(a.x, a.storage), input(a.gamma),
                              input(a.mean), input(a.inv_std), input(sums),
                              activations_output(a.elements(), a.storage), output(g.c), output(g.c)});
    for (std::size_t i = 6; i < 9; ++i) {
      const DType t = i == 6 ? a.storage : DType::f32;
      const Values expected = as_values(alone, i, t);
      EXPECT_TRUE(close(as_values(given, i, t), expected, [&](std::size_t k) {
        return 2e-6 * std::max(1.0, largest(expected)) +
               (t == DType::bf16 ? 0x1p-7 * std::abs(expected[k]) : 0);
      })) << i;
    }
    g.coefficients_only = true;
    const Result left = run(*make_norm_gradient(g, a.isa, a.storage),
                            {absent(), absent(), input(a.gamma), input(a.mean), input(a.inv_std), input(sums),
                             output(4 * g.c), output(g.c), output(g.c)});
    const auto table = left.get(6);
    Values dx;
    for (std::size_t i = 0; i < masked.size(); ++i) {
      const std::size_t k = i % c;
      const float centred = static_cast<float>(a.x[i]) - table[k];
      dx.push_back(static_cast<double>(std::fma(static_cast<float>(masked[i]), table[c + k],
                                                std::fma(centred, table[2 * c + k], table[3 * c + k]))));
    }
    EXPECT_TRUE(equal(stored(dx, a.storage), as_values(given, 6, a.storage)));
    EXPECT_EQ(left.bytes(7), given.bytes(7));
    EXPECT_EQ(left.bytes(8), given.bytes(8));
  });
}

}  // namespace
}  // namespace resnet::kernels
