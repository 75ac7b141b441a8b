#include "kernels/loss/loss.h"

#include <gtest/gtest.h>

#include "kernel_test_support.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

struct Case {
  Index n, classes;
  Values logits, labels;
};

Case random_case(Index n, Index classes, double deviation = 3) {
  Numbers numbers("loss");
  return {n, classes, numbers.normal(n * classes, 0, deviation), numbers.integers(n, 0, classes - 1)};
}

struct Losses {
  double sum = 0, correct = 0;
};
Losses reference(const Case& c) {
  Values sum(1);
  Values correct(1);
  reference_cross_entropy(view(c.logits, {c.n, c.classes}), view(c.labels), target(sum), target(correct));
  return {sum[0], correct[0]};
}

Losses native(const Case& c, Isa isa) {
  const auto kernel = make_cross_entropy(c.n, c.classes, isa);
  const Result result = run(*kernel, {input(c.logits), input(rounded<std::int32_t>(c.labels)),
                                      output<double>(1), output<std::int64_t>(1)});
  return {result.get<double>(2)[0], static_cast<double>(result.get<std::int64_t>(3)[0])};
}

std::vector<float> native_gradient(const Case& c, Isa isa) {
  const auto kernel = make_cross_entropy_gradient(c.n, c.classes, isa);
  return run(*kernel, {input(c.logits), input(rounded<std::int32_t>(c.labels)), output(c.n * c.classes)})
      .get(2);
}

const std::vector<std::pair<Index, Index>> kShapes = {{1, 1},  {1, 2},      {3, 7},    {256, 10}, {96, 10},
                                                      {5, 33}, {256, 1000}, {1000, 3}, {2, 5000}};

template <class Check>
void for_cases(const Check& check) {
  for (const Isa isa : isas()) {
    for (const auto& [n, classes] : kShapes) {
      for (const double deviation : {0.01, 3.0, 1e4}) {
        SCOPED_TRACE(std::string(name_of(isa)) + ", " + to_string(Shape{n, classes}) + ", logits of size " +
                     std::to_string(deviation));
        check(isa, random_case(n, classes, deviation));
      }
    }
  }
}

TEST(CrossEntropy, EqualsReferenceUpToTheOrderOfItsSums) {
  for_cases([](Isa isa, const Case& c) {
    const Losses expected = reference(c);
    const Losses actual = native(c, isa);
    EXPECT_NEAR(actual.sum, expected.sum,
                static_cast<double>(c.n + c.classes) * 0x1p-53 * std::abs(expected.sum));
    EXPECT_EQ(actual.correct, expected.correct);
  });
}

TEST(CrossEntropy, FirstOfEqualLogitsIsTheAnswer) {
  const Case c = {4, 3, {1, 1, 0, 0, 2, 2, 5, 5, 5, 1, 2, 3}, {0, 2, 0, 2}};
  EXPECT_EQ(reference(c).correct, 3);
  for (const Isa isa : isas()) EXPECT_EQ(native(c, isa).correct, 3);
}

TEST(CrossEntropy, NanInOneLogitMakesTheSumNan) {
  for (const Index place : {0, 4, 9}) {
    Case c = random_case(256, 10);
    c.logits[static_cast<std::size_t>(2550 + place)] = kNan;
    EXPECT_TRUE(std::isnan(reference(c).sum));
    for (const Isa isa : isas()) {
      EXPECT_TRUE(std::isnan(native(c, isa).sum)) << place;
      EXPECT_EQ(native(c, isa).correct, reference(c).correct);
      EXPECT_TRUE(std::isnan(native_gradient(c, isa)[2551]));
    }
  }
}

TEST(CrossEntropyGradient, EqualsReferenceRoundedOnce) {
  for_cases([](Isa isa, const Case& c) {
    Values expected(c.logits.size());
    reference_cross_entropy_gradient(view(c.logits, {c.n, c.classes}), view(c.labels), target(expected));
    // Beside the rounding: where softmax is close to 1, minus 1 leaves the error of a sum over classes.
    const double sums = static_cast<double>(c.classes + 8) * 0x1p-53 / static_cast<double>(c.n);
    EXPECT_TRUE(close(native_gradient(c, isa), expected, [&](std::size_t i) {
      return kRound * std::abs(expected[i]) + sums + 0x1p-149;  // the last: denormal numbers
    }));
  });
}

TEST(CrossEntropyGradient, MatchesFiniteDifferences) {
  Case c = random_case(4, 6);
  Values gradient(c.logits.size());
  reference_cross_entropy_gradient(view(c.logits, {c.n, c.classes}), view(c.labels), target(gradient));
  const Values expected = differences(c.logits, [&] { return reference(c).sum / static_cast<double>(c.n); });
  EXPECT_TRUE(close(gradient, expected, 1e-9));  // step^2 + 2^-53 / step
}

// Options and mixed labels, by the kernels against the reference and by its finite differences.
struct TargetCase {
  CrossEntropyOptions options;
  bool mixed;
};

std::vector<TargetCase> target_cases(Index classes) {
  Numbers numbers("weights");
  std::vector<double> weights;
  for (Index k = 0; k < classes; ++k) weights.push_back(static_cast<double>(numbers.between(1, 8)) / 4);
  std::vector<TargetCase> cases;
  for (const bool mixed : {false, true}) {
    for (const double smoothing : {0.0, 0.1, 1.0}) {
      cases.push_back({{.label_smoothing = smoothing, .class_weights = weights}, mixed});
      cases.push_back({{.label_smoothing = smoothing}, mixed});
    }
  }
  return cases;
}

struct MixedCase : Case {
  Values mixed_labels, mix;
  explicit MixedCase(Case plain) : Case(std::move(plain)) {
    Numbers numbers("mixed");
    mixed_labels = numbers.integers(n, 0, classes - 1);
    for (Index i = 0; i < n; ++i) mix.push_back(static_cast<double>(numbers.between(0, 16)) / 16);
  }
  LossTargets targets(bool mixed) const {
    return mixed ? LossTargets(view(labels), view(mixed_labels), view(mix)) : LossTargets(view(labels));
  }
  std::vector<Operand> inputs(bool mixed) const {
    std::vector<Operand> list = {input(logits), input(rounded<std::int32_t>(labels))};
    if (mixed) {
      list.push_back(input(rounded<std::int32_t>(mixed_labels)));
      list.push_back(input(mix));
    }
    return list;
  }
};

TEST(CrossEntropyOfTargets, EqualsReference) {
  const Isa isa = isas().front();  // they have no instructions of their own
  const auto check = [&](const Case& plain) {
    const MixedCase c(plain);
    for (const TargetCase& t : target_cases(c.classes)) {
      Values sum(1), correct(1), gradient(c.logits.size());
      reference_cross_entropy(view(c.logits, {c.n, c.classes}), c.targets(t.mixed), target(sum),
                              target(correct), t.options);
      reference_cross_entropy_gradient(view(c.logits, {c.n, c.classes}), c.targets(t.mixed), target(gradient),
                                       t.options);
      std::vector<Operand> operands = c.inputs(t.mixed);
      const std::size_t outputs = operands.size();
      operands.push_back(output<double>(1));
      operands.push_back(output<std::int64_t>(1));
      const auto kernel = make_cross_entropy(c.n, c.classes, isa, t.options, t.mixed);
      const Result result = run(*kernel, operands);
      // The smoothing's sum over classes has another order; its terms have one sign.
      EXPECT_NEAR(result.get<double>(outputs)[0], sum[0],
                  static_cast<double>(c.n + 4 * c.classes + 16) * 0x1p-53 * std::abs(sum[0]));
      EXPECT_EQ(static_cast<double>(result.get<std::int64_t>(outputs + 1)[0]), correct[0]);
      operands.resize(outputs);
      operands.push_back(output(c.n * c.classes));
      const auto back = make_cross_entropy_gradient(c.n, c.classes, isa, t.options, t.mixed);
      // Beside the rounding: p * total and share cancel where the target is met; weights are at most 2.
      const double sums =
          2 * static_cast<double>(c.classes + c.n + 16) * 0x1p-53 / static_cast<double>(c.n) / 0.25;
      EXPECT_TRUE(close(run(*back, operands).get(outputs), gradient,
                        [&](std::size_t i) { return kRound * std::abs(gradient[i]) + sums + 0x1p-149; }));
    }
  };
  for (const auto& [n, classes] :
       std::vector<std::pair<Index, Index>>{{1, 1}, {3, 7}, {256, 10}, {5, 33}, {500, 3}}) {
    for (const double deviation : {0.01, 3.0, 1e4}) check(random_case(n, classes, deviation));
  }
}

TEST(CrossEntropyOfTargets, GradientMatchesFiniteDifferences) {
  MixedCase c(random_case(4, 6));
  for (const TargetCase& t : target_cases(c.classes)) {
    const auto loss = [&] {
      Values sum(1), correct(1);
      reference_cross_entropy(view(c.logits, {c.n, c.classes}), c.targets(t.mixed), target(sum),
                              target(correct), t.options);
      return sum[0] / static_cast<double>(c.n);
    };
    Values gradient(c.logits.size());
    reference_cross_entropy_gradient(view(c.logits, {c.n, c.classes}), c.targets(t.mixed), target(gradient),
                                     t.options);
    EXPECT_TRUE(close(gradient, differences(c.logits, loss), 1e-9));  // step^2 + 2^-53 / step
  }
}

TEST(CrossEntropyOfTargets, NanInOneLogitMakesTheSumNan) {
  MixedCase c(random_case(256, 10));
  c.logits[2554] = kNan;
  for (const TargetCase& t : target_cases(10)) {
    std::vector<Operand> operands = c.inputs(t.mixed);
    operands.push_back(output<double>(1));
    operands.push_back(output<std::int64_t>(1));
    const auto kernel = make_cross_entropy(c.n, c.classes, isas().front(), t.options, t.mixed);
    EXPECT_TRUE(std::isnan(run(*kernel, operands).get<double>(operands.size() - 2)[0]));
  }
}

}  // namespace
}  // namespace resnet::kernels
