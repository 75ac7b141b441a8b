#include "kernels/norm/norm.h"

#include <gtest/gtest.h>

#include <string>

#include "kernel_test_support.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

/// Everything about one batch norm in double, public layout.
struct Case {
  NormGeometry g;
  Values x, gamma, beta, running_mean, running_var, residual, dz;
  // references; z is y, + residual if g.add, then the ReLU if g.relu
  Values y, z, mean, inv_std, new_mean, new_var, dx, dgamma, dbeta, masked_dz;

  Index count() const { return g.rows() * g.c; }
  Shape shape() const { return {g.n, g.c, g.pixels}; }
  std::size_t channel(std::size_t i) const {
    return i / static_cast<std::size_t>(g.pixels) % static_cast<std::size_t>(g.c);
  }
  Operand nhwc(const Values& values) const { return input(transposed(values, g.n, g.c, g.pixels)); }
  std::vector<float> nchw(const std::vector<float>& values) const {
    return transposed(values, g.n, g.pixels, g.c);
  }
};

void finish(Case& c, const Values& y) {
  c.z = y;
  for (std::size_t i = 0; i < c.z.size(); ++i) {
    if (c.g.add) c.z[i] += c.residual[i];
    if (c.g.relu && c.z[i] <= 0) c.z[i] = 0;
  }
}

Case make_case(const NormGeometry& g, double mean_in_deviations, std::optional<double> poison = {}) {
  Case c;
  c.g = g;
  Numbers numbers("norm");
  c.x = numbers.normal(c.count());
  c.gamma = numbers.normal(g.c, 1, 0.5);
  c.beta = numbers.normal(g.c);
  c.running_mean = numbers.normal(g.c);
  c.running_var = numbers.normal(g.c);
  for (double& v : c.running_var) v = static_cast<double>(static_cast<float>(0.1 + v * v));
  const Values deviation = numbers.normal(g.c, 2, 0.3);  // of each channel, and its mean in units of that
  for (std::size_t i = 0; i < c.x.size(); ++i) {
    const double value = deviation[c.channel(i)] * (c.x[i] + mean_in_deviations);
    c.x[i] = static_cast<double>(static_cast<float>(value));
  }
  if (poison) c.x[c.x.size() / 2] = *poison;
  c.residual = numbers.normal(c.count());
  c.dz = numbers.normal(c.count(), 0.1);
  const auto channels = static_cast<std::size_t>(g.c);
  c.y.resize(c.x.size());
  c.dx.resize(c.x.size());
  for (Values* v : {&c.mean, &c.inv_std, &c.new_mean, &c.new_var, &c.dgamma, &c.dbeta}) v->resize(channels);
  reference_norm_train(g, view(c.x), view(c.gamma), view(c.beta), view(c.running_mean), view(c.running_var),
                       target(c.y), target(c.mean), target(c.inv_std), target(c.new_mean), target(c.new_var));
  finish(c, c.y);
  c.masked_dz = c.dz;
  if (g.relu) {
    for (std::size_t i = 0; i < c.z.size(); ++i) {
      if (!(static_cast<float>(c.z[i]) > 0)) c.masked_dz[i] = 0;
    }
  }
  reference_norm_gradient(g, view(c.masked_dz), view(c.x), view(c.gamma), view(c.mean), view(c.inv_std),
                          target(c.dx), target(c.dgamma), target(c.dbeta));
  return c;
}

const std::vector<Shape> kShapes = {{1, 1, 2},     {2, 1, 1},   {2, 3, 1},    {3, 7, 5},    {4, 10, 9},
                                    {2, 16, 16},   {5, 33, 7},  {2, 64, 25},  {9, 64, 81},  {1, 512, 9},
                                    {1, 1, 40000}, {3, 100, 9}, {2, 3, 9000}, {2, 2047, 3}, {2, 256, 100}};

/// Calls check(isa, geometry) for fixed and random shapes with each fusion.
template <class Check>
void for_cases(const Check& check) {
  std::vector<Shape> shapes = kShapes;
  Numbers numbers("norm shapes");
  for (int i = 0; i < 6; ++i) {
    shapes.push_back({numbers.between(1, 8), numbers.between(1, 90), numbers.between(2, 99)});
  }
  for (const Isa isa : isas()) {
    for (const Shape& shape : shapes) {
      for (const int fused : {0, 1, 2, 3}) {
        const NormGeometry g = {.n = shape[0],
                                .c = shape[1],
                                .pixels = shape[2],
                                .add = (fused & 2) != 0,
                                .relu = (fused & 1) != 0};
        SCOPED_TRACE(std::string(name_of(isa)) + ", n,c,pixels = " + to_string(shape) +
                     (g.add ? " + add" : "") + (g.relu ? " + relu" : ""));
        check(isa, g);
      }
    }
  }
}

std::vector<Operand> train_operands(const Case& c) {
  std::vector<Operand> operands = {c.nhwc(c.x), input(c.gamma), input(c.beta), input(c.running_mean),
                                   input(c.running_var)};
  if (c.g.add) operands.push_back(c.nhwc(c.residual));
  operands.push_back(output(c.count()));
  for (int i = 0; i < 4; ++i) operands.push_back(output(c.g.c));
  return operands;
}

void expect_trained(const Case& c, const Result& result) {
  const std::size_t z = c.g.add ? 6 : 5;
  EXPECT_TRUE(close(c.nchw(result.get(z)), c.z, 1e-6 * largest(c.y) + (c.g.add ? kRound * largest(c.z) : 0)))
      << "z";
  EXPECT_TRUE(close(result.get(z + 1), c.mean, [&](std::size_t i) {
    return 1e-6 / c.inv_std[i] + kRound * std::abs(c.mean[i]);
  })) << "mean";
  EXPECT_TRUE(close(result.get(z + 2), c.inv_std, [&](std::size_t i) { return 1e-6 * c.inv_std[i]; }))
      << "inv_std";
  EXPECT_TRUE(close(result.get(z + 3), c.new_mean, [&](std::size_t i) {
    return 1e-6 / c.inv_std[i] + kRound * std::abs(c.new_mean[i]);
  })) << "running mean";
  EXPECT_TRUE(close(result.get(z + 4), c.new_var, [&](std::size_t i) { return 1e-6 * c.new_var[i]; }))
      << "running variance";
}

TEST(NormTrain, IsWithinAMillionthOfTheReferenceAlsoAtAMeanOf1000Deviations) {
  for_cases([](Isa isa, const NormGeometry& g) {
    for (const double mean : {0.0, 1.0, -1000.0, 1000.0}) {
      SCOPED_TRACE("mean in standard deviations: " + std::to_string(mean));
      const Case c = make_case(g, mean);
      expect_trained(c, run(*make_norm_train(g, isa), train_operands(c)));
    }
  });
}

TEST(NormTrain, WritesOverResidualAndRunningValuesAndDoesWithoutThem) {
  for_cases([](Isa isa, const NormGeometry& g) {
    const Case c = make_case(g, 1);
    const auto kernel = make_norm_train(g, isa);
    std::vector<Operand> operands = train_operands(c);
    const Result apart = run(*kernel, operands);
    const std::size_t z = g.add ? 6 : 5;
    if (g.add) operands[z] = same_as(5);
    operands[z + 3] = same_as(3);
    operands[z + 4] = same_as(4);
    const Result in_place = run(*kernel, operands);
    EXPECT_EQ(in_place.bytes(3), apart.bytes(z + 3));
    EXPECT_EQ(in_place.bytes(4), apart.bytes(z + 4));
    EXPECT_EQ(in_place.bytes(g.add ? 5 : z), apart.bytes(z));
    operands = train_operands(c);
    operands[z + 3] = absent();
    operands[z + 4] = absent();
    const Result without = run(*kernel, operands);
    for (std::size_t i = z; i < z + 3; ++i) EXPECT_EQ(without.bytes(i), apart.bytes(i));
  });
}

TEST(NormTrain, SurvivesAnOutlierInFront) {
  for (const Isa isa : isas()) {
    const NormGeometry g = {.n = 4, .c = 16, .pixels = 5000};
    Case c = make_case(g, 0);
    for (Index i = 0; i < g.c; ++i) c.x[static_cast<std::size_t>(i * g.pixels)] = 100;
    reference_norm_train(g, view(c.x), view(c.gamma), view(c.beta), view(c.running_mean), view(c.running_var),
                         target(c.y), target(c.mean), target(c.inv_std), target(c.new_mean),
                         target(c.new_var));
    finish(c, c.y);
    expect_trained(c, run(*make_norm_train(g, isa), train_operands(c)));
  }
}

TEST(NormTrain, NanAndInfinitySpoilTheirChannelAlone) {
  for_cases([](Isa isa, const NormGeometry& g) {
    const double poison = std::array{kNan, kInf, -kInf}[static_cast<std::size_t>(g.rows() % 3)];
    const Case c = make_case(g, 0, poison);
    const std::size_t spoilt = c.channel(c.x.size() / 2);
    const Result result = run(*make_norm_train(g, isa), train_operands(c));
    const auto z = c.nchw(result.get(g.add ? 6 : 5));
    for (std::size_t i = 0; i < z.size(); ++i) {
      ASSERT_EQ(std::isnan(z[i]), c.channel(i) == spoilt) << "value " << i << ", poison " << poison;
    }
  });
}

TEST(NormEval, IsWithinAMillionthOfTheReference) {
  for_cases([](Isa isa, const NormGeometry& g) {
    for (const double mean : {0.0, 1000.0}) {
      Case c = make_case(g, mean);
      for (std::size_t i = 0; i < c.running_mean.size(); ++i) {
        c.running_mean[i] = static_cast<double>(static_cast<float>(c.mean[i]));
        c.running_var[i] = static_cast<double>(static_cast<float>(1 / (c.inv_std[i] * c.inv_std[i])));
      }
      reference_norm_eval(g, view(c.x), view(c.gamma), view(c.beta), view(c.running_mean),
                          view(c.running_var), target(c.y));
      finish(c, c.y);
      std::vector<Operand> operands = train_operands(c);
      operands.resize(g.add ? 7 : 6);
      const auto kernel = make_norm_eval(g, isa);
      const double tolerance = 1e-6 * largest(c.y) + (g.add ? kRound * largest(c.z) : 0);
      const auto apart = run(*kernel, operands).get(g.add ? 6 : 5);
      EXPECT_TRUE(close(c.nchw(apart), c.z, tolerance));
      operands.back() = same_as(0);
      EXPECT_EQ(run(*kernel, operands).get(0), apart) << "z in x";
      if (g.add) {
        operands.back() = same_as(5);
        EXPECT_EQ(run(*kernel, operands).get(5), apart) << "z in residual";
      }
    }
  });
}

std::vector<Operand> gradient_operands(const Case& c) {
  std::vector<Operand> operands = {c.nhwc(c.dz), c.nhwc(c.x), input(c.gamma), input(c.mean),
                                   input(c.inv_std)};
  if (c.g.relu) operands.push_back(c.nhwc(c.z));
  operands.push_back(output(c.count()));
  operands.push_back(output(c.g.c));
  operands.push_back(output(c.g.c));
  if (c.g.add) operands.push_back(output(c.count()));
  return operands;
}

TEST(NormGradient, IsWithinAMillionthOfTheReferenceAlsoAtAMeanOf1000Deviations) {
  for_cases([](Isa isa, const NormGeometry& g) {
    for (const double mean : {0.0, 1.0, 1000.0}) {
      SCOPED_TRACE("mean in standard deviations: " + std::to_string(mean));
      const Case c = make_case(g, mean);
      const Result result = run(*make_norm_gradient(g, isa), gradient_operands(c));
      const std::size_t dx = g.relu ? 6 : 5;
      const auto channels = static_cast<std::size_t>(g.c);
      Values dz_sum(channels), product_sum(channels), dz_max(channels), x_max(channels);
      for (std::size_t i = 0; i < c.x.size(); ++i) {
        const std::size_t channel = c.channel(i);
        const double dz = std::abs(c.masked_dz[i]);
        const double xhat = std::abs((c.x[i] - c.mean[channel]) * c.inv_std[channel]);
        dz_sum[channel] += dz;
        product_sum[channel] += dz * xhat;
        dz_max[channel] = std::max(dz_max[channel], dz);
        x_max[channel] = std::max(x_max[channel], xhat);
      }
      const auto rows = static_cast<double>(g.rows());
      EXPECT_TRUE(close(c.nchw(result.get(dx)), c.dx, [&](std::size_t i) {  // of the terms that dx is made of
        const std::size_t k = c.channel(i);
        return 1e-6 * std::abs(c.gamma[k] * c.inv_std[k]) *
               (dz_max[k] + dz_sum[k] / rows + x_max[k] * product_sum[k] / rows);
      })) << "dx";
      const double additions = std::min(rows, 64.0) + 4;  // in f32 in a row, and roundings around them
      // The second term: the mean, too, is only known to that error.
      EXPECT_TRUE(close(result.get(dx + 1), c.dgamma, [&](std::size_t i) {
        return additions * kRound * (product_sum[i] + dz_sum[i]);
      })) << "dgamma";
      EXPECT_TRUE(close(result.get(dx + 2), c.dbeta, [&](std::size_t i) {
        return additions * kRound * dz_sum[i];
      })) << "dbeta";
      if (g.add) {
        EXPECT_TRUE(equal(c.nchw(result.get(dx + 3)), c.masked_dz)) << "dresidual";
      }
    }
  });
}

TEST(NormGradient, WritesOverDzOrXAndDoesWithoutDresidual) {
  for_cases([](Isa isa, const NormGeometry& g) {
    const Case c = make_case(g, 1);
    const auto kernel = make_norm_gradient(g, isa);
    const std::size_t dx = g.relu ? 6 : 5;
    std::vector<Operand> operands = gradient_operands(c);
    const Result apart = run(*kernel, operands);
    const auto expect_same = [&](const std::vector<Operand>& changed, std::size_t output, std::size_t place) {
      const Result result = run(*kernel, changed);
      for (std::size_t i = dx; i < changed.size(); ++i) {
        if (changed[i].absent) continue;
        EXPECT_EQ(result.bytes(i == output ? place : i), apart.bytes(i)) << "output " << i;
      }
    };
    operands[dx] = same_as(1);
    expect_same(operands, dx, 1);
    operands[dx] = same_as(0);
    expect_same(operands, dx, 0);
    if (!g.add) return;
    operands[dx + 3] = absent();
    expect_same(operands, dx, 0);
    operands = gradient_operands(c);
    operands[dx + 3] = same_as(0);
    expect_same(operands, dx + 3, 0);
    operands[dx] = same_as(1);
    const Result both = run(*kernel, operands);
    EXPECT_EQ(both.bytes(1), apart.bytes(dx)) << "dx over x";
    EXPECT_EQ(both.bytes(0), apart.bytes(dx + 3)) << "dresidual over dz";
  });
}

TEST(NormGradient, TakesAMeanThatIsNotTheBatchsAtItsWord) {
  for (const Isa isa : isas()) {
    const NormGeometry g = {.n = 3, .c = 20, .pixels = 30};
    Case c = make_case(g, 2);
    for (double& m : c.mean) m = static_cast<double>(static_cast<float>(m * 1.001));
    reference_norm_gradient(g, view(c.dz), view(c.x), view(c.gamma), view(c.mean), view(c.inv_std),
                            target(c.dx), target(c.dgamma), target(c.dbeta));
    const Result result = run(*make_norm_gradient(g, isa), gradient_operands(c));
    EXPECT_TRUE(close(c.nchw(result.get(5)), c.dx, 1e-6 * largest(c.dx)));
  }
}

TEST(NormGradient, ReferenceMatchesFiniteDifferences) {
  Case c = make_case({.n = 2, .c = 3, .pixels = 4}, 0.5);
  const Values weights = Numbers("weights").normal(c.count());
  const auto loss = [&] {
    Values y(c.x.size());
    Values unused(3);
    reference_norm_train(c.g, view(c.x), view(c.gamma), view(c.beta), view(c.running_mean),
                         view(c.running_var), target(y), target(c.mean), target(c.inv_std), target(unused),
                         target(unused));
    return dot(y, weights);
  };
  const Values dx = differences(c.x, loss);
  const Values dgamma = differences(c.gamma, loss);
  const Values dbeta = differences(c.beta, loss);
  loss();
  reference_norm_gradient(c.g, view(weights), view(c.x), view(c.gamma), view(c.mean), view(c.inv_std),
                          target(c.dx), target(c.dgamma), target(c.dbeta));
  EXPECT_TRUE(close(c.dx, dx, 1e-8));  // step^2 + 2^-53 / step, times a loss of about ten
  EXPECT_TRUE(close(c.dgamma, dgamma, 1e-8));
  EXPECT_TRUE(close(c.dbeta, dbeta, 1e-8));
}

}  // namespace
}  // namespace resnet::kernels
