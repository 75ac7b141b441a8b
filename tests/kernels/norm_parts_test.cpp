// A norm some of whose parts its neighbours do: what is given to it and what it leaves to them give what it
// computes alone, bit for bit where nothing is summed anew.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernel_test_support.h"
#include "kernels/norm/norm.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

/// A norm behind a ReLU and what it has computed alone.
struct Alone {
  NormGeometry g;
  Isa isa = Isa::avx2;
  Values x, dz, gamma, beta, running_mean, running_var;
  Values z, mean, inv_std, new_mean, new_var;

  Index elements() const { return g.rows() * g.c; }
  std::vector<Operand> inputs() const {
    return {input(x), input(gamma), input(beta), input(running_mean), input(running_var)};
  }
};

Values as_values(const Result& result, std::size_t i) {
  return values_of(result.bytes(i), DType::f32);
}

template <class Check>
void for_cases(const Check& check) {
  for (const Isa isa : isas()) {
    for (const Shape& shape :
         {Shape{2, 64, 9, 7}, Shape{1, 3, 2, 2}, Shape{5, 7, 61, 50}, Shape{2, 513, 5, 1}}) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + to_string(shape));
      Numbers numbers("norm parts");
      Alone a;
      a.g = {.n = shape[0], .c = shape[1], .pixels = shape[2] * shape[3], .relu = true};
      a.isa = isa;
      a.x = numbers.normal(a.elements(), 0.5);
      a.dz = numbers.normal(a.elements());
      a.gamma = numbers.normal(a.g.c);
      a.beta = numbers.normal(a.g.c);
      a.running_mean = numbers.normal(a.g.c);
      a.running_var = numbers.normal(a.g.c, 1, 0.1);
      std::vector<Operand> operands = a.inputs();
      operands.push_back(output(a.elements()));
      for (int i = 0; i < 4; ++i) operands.push_back(output(a.g.c));
      const Result result = run(*make_norm_train(a.g, isa), operands);
      a.z = as_values(result, 5);
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
    g.table_only = true;
    std::vector<Operand> operands = a.inputs();
    operands.push_back(output(3 * g.c));
    for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
    const Result train = run(*make_norm_train(g, a.isa), operands);
    EXPECT_TRUE(equal(applied(a.x, as_values(train, 5)), a.z));
    const Values* const expected[] = {&a.mean, &a.inv_std, &a.new_mean, &a.new_var};
    for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(equal(as_values(train, 6 + i), *expected[i])) << i;

    std::vector<Operand> plain = a.inputs();
    plain.push_back(output(a.elements()));
    const Values z = as_values(run(*make_norm_eval(a.g, a.isa), plain), 5);
    operands.resize(6);
    EXPECT_TRUE(equal(applied(a.x, as_values(run(*make_norm_eval(g, a.isa), operands), 5)), z));
  });
}

TEST(NormParts, GivenMomentsServeAsItsOwn) {
  for_cases([](const Alone& a) {
    for (const bool table_only : {false, true}) {
      NormGeometry g = a.g;
      g.given = true;
      g.table_only = table_only;
      std::vector<Operand> operands = a.inputs();
      if (table_only) operands[0] = absent();
      operands.push_back(input(moments_of(a.x, static_cast<std::size_t>(g.c))));
      operands.push_back(output(table_only ? 3 * g.c : a.elements()));
      for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
      const Result result = run(*make_norm_train(g, a.isa), operands);
      const Values z = table_only ? applied(a.x, as_values(result, 6)) : as_values(result, 6);
      EXPECT_TRUE(close(z, a.z, 1e-6 * largest(a.z))) << "z";
      EXPECT_TRUE(close(as_values(result, 7), a.mean, 1e-6 * largest(a.x))) << "mean";
      EXPECT_TRUE(close(as_values(result, 10), a.new_var, 1e-6 * largest(a.new_var))) << "running variance";
    }
  });
}

TEST(NormParts, AGateByTableIsTheGateByZ) {
  for_cases([](const Alone& a) {
    NormGeometry g = a.g;
    g.table_only = true;
    std::vector<Operand> operands = a.inputs();
    operands.push_back(output(3 * g.c));
    for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
    const Values table = as_values(run(*make_norm_train(g, a.isa), operands), 5);
    const auto gradient = [&](const NormGeometry& geometry, const Values& gate) {
      return run(*make_norm_gradient(geometry, a.isa),
                 {input(a.dz), input(a.x), input(a.gamma), input(a.mean), input(a.inv_std), input(gate),
                  output(a.elements()), output(g.c), output(g.c)});
    };
    NormGeometry by_table = a.g;
    by_table.table_gate = true;
    const Result expected = gradient(a.g, a.z), result = gradient(by_table, table);
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
    const Result alone = run(*make_norm_gradient(a.g, a.isa),
                             {input(a.dz), input(a.x), input(a.gamma), input(a.mean), input(a.inv_std),
                              input(a.z), output(a.elements()), output(a.g.c), output(a.g.c)});
    NormGeometry g = a.g;
    g.relu = false;
    g.given = true;
    const Result given = run(*make_norm_gradient(g, a.isa),
                             {input(masked), input(a.x), input(a.gamma), input(a.mean), input(a.inv_std),
                              input(sums), output(a.elements()), output(g.c), output(g.c)});
    for (std::size_t i = 6; i < 9; ++i) {
      const Values expected = as_values(alone, i);
      EXPECT_TRUE(close(as_values(given, i), expected, 2e-6 * std::max(1.0, largest(expected)))) << i;
    }
    g.table_only = true;
    const Result left = run(*make_norm_gradient(g, a.isa),
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
    EXPECT_TRUE(equal(dx, as_values(given, 6)));
    EXPECT_EQ(left.bytes(7), given.bytes(7));
    EXPECT_EQ(left.bytes(8), given.bytes(8));
  });
}

}  // namespace
}  // namespace resnet::kernels
