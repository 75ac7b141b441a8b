#include "kernels/optimizer/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "kernel_test_support.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

// Around vectors, unrolled vectors and chunks.
const std::vector<Index> kCounts = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 16383, 16384, 16385, 50001};

/// Calls check(isa, count) for each pair, naming both in failures.
template <class Check>
void for_counts(const Check& check) {
  for (const Isa isa : isas()) {
    for (const Index count : kCounts) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + std::to_string(count) + " elements");
      check(isa, count);
    }
  }
}

Values step_values(double lr, double momentum, double update) {
  Values values(StepValue::count);
  values[StepValue::lr] = lr;
  values[StepValue::momentum] = momentum;
  values[StepValue::update] = update;
  return values;
}

TEST(Sgd, RoundsProductAndDifferenceOneAfterTheOther) {
  for_counts([](Isa isa, Index count) {
    Numbers numbers("sgd");
    const Values param = numbers.normal(count);
    const Values grad = numbers.normal(count);
    const float lr = 0.05F;
    Values expected;
    for (std::size_t i = 0; i < param.size(); ++i) {
      const float product = lr * static_cast<float>(grad[i]);
      expected.push_back(static_cast<double>(static_cast<float>(param[i]) - product));
    }
    const auto kernel = make_sgd({}, count, isa);
    const Values step = step_values(static_cast<double>(lr), 0, 3);
    const auto updated = run(*kernel, {input(param), input(grad), input(step), output(count)}).get(3);
    EXPECT_TRUE(equal(updated, expected));
    EXPECT_TRUE(equal(run(*kernel, {input(param), input(grad), input(step), same_as(0)}).get(0), expected));
    Values exact(param.size());
    reference_sgd({},
                  {.param = view(param), .grad = view(grad), .step = view(step), .updated = target(exact)});
    EXPECT_TRUE(close(updated, exact, [&](std::size_t i) {  // two roundings
      return kRound * (std::abs(exact[i]) + 2 * std::abs(static_cast<double>(lr) * grad[i]));
    }));
  });
}

// Numbers of few bits and factors that are powers of two: every intermediate result is exact.
TEST(Sgd, IsExactWithMomentumAndDecayOnSmallNumbers) {
  for (const bool momentum : {false, true}) {
    for (const bool nesterov : {false, true}) {
      for (const bool gradient : {true, false}) {
        for (const double number : {1.0, 2.0}) {
          if (nesterov && !momentum) continue;
          const SgdUpdate update{.momentum = momentum,
                                 .nesterov = nesterov,
                                 .dampening = nesterov ? 0 : 0.75,
                                 .weight_decay = 0.25,
                                 .lr_factor = 2};
          SCOPED_TRACE(::testing::Message() << "momentum " << momentum << ", nesterov " << nesterov
                                            << ", gradient " << gradient << ", update " << number);
          for_counts([&](Isa isa, Index count) {
            Numbers numbers("sgd_exact");
            const Values param = numbers.integers(count, -64, 64), grad = numbers.integers(count, -64, 64),
                         buffer = numbers.integers(count, -64, 64), step = step_values(0.125, 0.5, number);
            Values updated(param.size()), updated_buffer(param.size());
            reference_sgd(update, {.param = view(param),
                                   .grad = gradient ? view(grad) : View<const double>{},
                                   .step = view(step),
                                   .buffer = view(buffer),
                                   .updated = target(updated),
                                   .updated_buffer = target(updated_buffer)});
            const auto kernel = make_sgd(update, count, isa);
            const Operand given = gradient ? input(grad) : absent();
            if (!momentum) {
              EXPECT_TRUE(
                  equal(run(*kernel, {input(param), given, input(step), output(count)}).get(3), updated));
              EXPECT_TRUE(
                  equal(run(*kernel, {input(param), given, input(step), same_as(0)}).get(0), updated));
              return;
            }
            const Result apart =
                run(*kernel, {input(param), given, input(step), input(buffer), output(count), output(count)});
            EXPECT_TRUE(equal(apart.get(4), updated));
            EXPECT_TRUE(equal(apart.get(5), updated_buffer));
            const Result in_place =
                run(*kernel, {input(param), given, input(step), input(buffer), same_as(0), same_as(3)});
            EXPECT_TRUE(equal(in_place.get(0), updated));
            EXPECT_TRUE(equal(in_place.get(3), updated_buffer));
          });
        }
      }
    }
  }
}

TEST(AdamW, IsTheReferenceButForItsRounding) {
  const AdamWUpdate update{.beta2 = 0.9375, .eps = 0x1p-10, .weight_decay = 0.25, .lr_factor = 0.5};
  for (const bool gradient : {true, false}) {
    for (const double number : {1.0, 2.0, 37.0, 100000.0}) {
      SCOPED_TRACE(::testing::Message() << "gradient " << gradient << ", update " << number);
      for_counts([&](Isa isa, Index count) {
        Numbers numbers("adamw");
        const Values param = numbers.normal(count), grad = numbers.normal(count), m = numbers.normal(count),
                     step = step_values(0.125, 0.875, number);
        Values v = numbers.normal(count);
        for (double& each : v) each = std::abs(each);
        Values p1(param.size()), m1(param.size()), v1(param.size());
        reference_adamw(update, {.param = view(param),
                                 .grad = gradient ? view(grad) : View<const double>{},
                                 .step = view(step),
                                 .exp_avg = view(m),
                                 .exp_avg_sq = view(v),
                                 .updated = target(p1),
                                 .updated_exp_avg = target(m1),
                                 .updated_exp_avg_sq = target(v1)});
        const auto kernel = make_adamw(update, count, isa);
        const Operand given = gradient ? input(grad) : absent();
        const Result apart = run(*kernel, {input(param), given, input(step), input(m), input(v),
                                           output(count), output(count), output(count)});
        const Result in_place = run(*kernel, {input(param), given, input(step), input(m), input(v),
                                              same_as(0), same_as(3), same_as(4)});
        EXPECT_EQ(in_place.get(0), apart.get(5));
        EXPECT_EQ(in_place.get(3), apart.get(6));
        EXPECT_EQ(in_place.get(4), apart.get(7));
        // A difference, a product and a sum, each rounded; of v, one product more.
        const auto size_of_m = [&](std::size_t i) {
          return std::abs(m[i]) + (gradient ? 0.125 * std::abs(grad[i]) : 0.0);
        };
        const auto size_of_v = [&](std::size_t i) {
          return v[i] + (gradient ? 0.0625 * grad[i] * grad[i] : 0.0);
        };
        EXPECT_TRUE(close(apart.get(6), m1, [&](std::size_t i) { return 3 * kRound * size_of_m(i); }));
        EXPECT_TRUE(close(apart.get(7), v1, [&](std::size_t i) { return 4 * kRound * size_of_v(i); }));
        // The step is lr times m over a root: relative to the size of m's terms, 3 roundings of m, half of
        // v's 4 / 0.9375, and 7 of the operations and factors.
        const double lr = 0.0625 / (1 - std::pow(0.875, number));
        const double root = std::sqrt(1 - std::pow(0.9375, number));
        EXPECT_TRUE(close(apart.get(5), p1, [&](std::size_t i) {
          const double size = lr * size_of_m(i) / (std::sqrt(v1[i]) / root + update.eps);
          return kRound * (3 * std::abs(param[i]) + std::abs(p1[i]) + 13 * size);
        }));
      });
    }
  }
}

TEST(Average, IsTheReferenceButForItsRounding) {
  for (const double share : {0.0, 0.0625, 1.0}) {
    SCOPED_TRACE(share);
    for_counts([&](Isa isa, Index count) {
      Numbers numbers("average");
      const Values average = numbers.normal(count), value = numbers.normal(count), given = {share};
      Values expected(average.size());
      reference_average({.average = view(average),
                         .value = view(value),
                         .share = view(given),
                         .updated = target(expected)});
      const auto kernel = make_average(count, isa);
      const auto apart = run(*kernel, {input(average), input(value), input(given), output(count)}).get(3);
      EXPECT_EQ(run(*kernel, {input(average), input(value), input(given), same_as(0)}).get(0), apart);
      // A difference, a product and a sum, each rounded; at the ends nothing is.
      const double roundings = share == 0.0625 ? 3 : 0;
      EXPECT_TRUE(close(apart, expected, [&](std::size_t i) {
        return roundings * kRound * (std::abs(average[i]) + share * std::abs(value[i]));
      }));
    });
  }
}

// Whether a kernel tells that something it wrote is not finite; parameters, gradients and slots hold 0.5, but
// for `value` at one place of one of them.
bool tells(const Kernel& kernel, Index count, bool slots, std::size_t operand, Index place, float value) {
  constexpr std::size_t kOperands = 8;
  std::vector<AlignedBuffer> memory;
  std::vector<void*> pointers;
  for (std::size_t i = 0; i < kOperands; ++i) {
    memory.emplace_back(static_cast<std::size_t>(count + StepValue::count) * sizeof(float));
    pointers.push_back(memory.back().data());
    auto* const values = reinterpret_cast<float*>(memory.back().data());
    std::fill(values, values + count, 0.5F);
    if (i == operand) values[place] = value;
  }
  auto* const step = static_cast<float*>(pointers[2]);
  step[StepValue::lr] = 0.1F;
  if (slots) {
    step[StepValue::momentum] = 0.9F;
    step[StepValue::update] = 2;
  }
  std::atomic<bool> nonfinite = false;
  for (Index task = 0; task < kernel.tasks(0); ++task)
    kernel.run({.operands = pointers.data(), .nonfinite = &nonfinite}, 0, task);
  return nonfinite;
}

TEST(Updates, TellWhereverSomethingIsNotFinite) {
  for_counts([](Isa isa, Index count) {
    const auto sgd = make_sgd({}, count, isa), decay = make_sgd({.weight_decay = 0.1}, count, isa);
    const auto momentum = make_sgd({.momentum = true}, count, isa), adamw = make_adamw({}, count, isa);
    struct Case {
      const Kernel& kernel;
      bool slots;
      std::vector<std::size_t> operands;  // parameter, gradient, slots
    };
    for (const Case& c : {Case{*sgd, false, {0, 1}},
                          {*decay, false, {0, 1}},
                          {*momentum, true, {0, 1, 3}},
                          {*adamw, true, {0, 1, 3, 4}}}) {
      for (const std::size_t operand : c.operands) {
        EXPECT_FALSE(tells(c.kernel, count, c.slots, operand, 0, 0.25F)) << c.kernel.name();
        for (const Index place : {Index{0}, count / 2, count - 1}) {
          for (const double value : {kNan, kInf, -kInf}) {
            EXPECT_TRUE(tells(c.kernel, count, c.slots, operand, place, static_cast<float>(value)))
                << c.kernel.name() << ": " << value << " at " << place << " of operand " << operand;
          }
        }
      }
    }
    // Its square overflows, and the weights stay finite.
    EXPECT_TRUE(tells(*adamw, count, true, 1, count - 1, 1e30F));
  });
}

}  // namespace
}  // namespace resnet::kernels
