// Kernels on bf16 compute in f32: given numbers that bf16 holds, each result is that of the kernel on f32,
// rounded once. Convolutions, whose products are of bf16, have their cases in conv_test.cpp.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/elementwise/elementwise.h"
#include "kernels/norm/norm.h"
#include "pool_case.h"
#include "resnet/error.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

constexpr Isa kIsa = Isa::avx512_bf16;

/// An operand that is stored as bf16 in one of the kernels, or f32 in both.
struct Value {
  Values content;      // empty: an output
  Index size = 0;      // of an output
  bool stored = true;  // as bf16
};
Value stored(const Values& values) {
  Value value{values, 0, true};
  for (double& v : value.content)
    v = static_cast<double>(static_cast<float>(BFloat16(static_cast<float>(v))));
  return value;
}
Value stored_output(Index size) {
  return {{}, size, true};
}
Value plain(const Values& values) {
  return {values, 0, false};
}
Value plain_output(Index size) {
  return {{}, size, false};
}

void expect_rounded(const std::function<std::unique_ptr<Kernel>(DType)>& make,
                    const std::vector<Value>& values) {
  const auto result = [&](DType storage) {
    std::vector<Operand> operands;
    for (const Value& v : values) {
      const DType type = v.stored ? storage : DType::f32;
      operands.push_back(v.content.empty() ? activations_output(v.size, type) : activations(v.content, type));
    }
    return run(*make(storage), operands);
  };
  const Result exact = result(DType::f32), half = result(DType::bf16);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::vector<float> expected = exact.get(i), actual;
    if (values[i].stored) {
      for (float& v : expected) v = static_cast<float>(BFloat16(v));
      for (const BFloat16 v : half.get<BFloat16>(i)) actual.push_back(static_cast<float>(v));
    } else {
      actual = half.get(i);
    }
    ASSERT_EQ(actual, expected) << "operand " << i;
  }
}

class Bf16 : public ::testing::Test {
 protected:
  void SetUp() override {
    if (best_isa() < kIsa) GTEST_SKIP() << "this processor has no avx512_bf16";
  }
};

const Index kCounts[] = {1, 15, 16, 17, 33, 1000, 16 * 1024, 40'007};

TEST_F(Bf16, Elementwise) {
  Numbers numbers("bf16 elementwise");
  for (const Index count : kCounts) {
    const Value a = stored(numbers.normal(count)), b = stored(numbers.normal(count));
    const Value y = stored_output(count);
    expect_rounded([&](DType type) { return make_relu(count, kIsa, type); }, {a, y});
    expect_rounded([&](DType type) { return make_relu_gradient(count, kIsa, type); }, {a, b, y});
    expect_rounded([&](DType type) { return make_add(count, kIsa, type); }, {a, b, y});
    expect_rounded([&](DType type) { return make_mul(count, kIsa, type); }, {a, b, y});
    for (const Activation kind : {Activation::sigmoid, Activation::silu, Activation::gelu}) {
      expect_rounded([&](DType type) { return make_activation(kind, count, kIsa, type); }, {a, y});
      expect_rounded([&](DType type) { return make_activation_gradient(kind, count, kIsa, type); },
                     {a, b, y});
    }
  }
}

TEST_F(Bf16, GatesAndJoins) {
  Numbers numbers("bf16 gates");
  for (int i = 0; i < 40; ++i) {
    const Index n = numbers.between(1, 5), c = numbers.between(1, 70), pixels = numbers.between(1, 90);
    const Index other = numbers.between(1, 40), size = n * c * pixels;
    const Value x = stored(numbers.normal(size)), dy = stored(numbers.normal(size));
    const Value gate = stored(numbers.normal(n * c)), b = stored(numbers.normal(n * other * pixels));
    expect_rounded([&](DType type) { return make_mul_gate(n, c, pixels, kIsa, type); },
                   {x, gate, stored_output(size)});
    expect_rounded([&](DType type) { return make_mul_gate_gradient(n, c, pixels, kIsa, type); },
                   {dy, x, stored_output(n * c)});
    expect_rounded([&](DType type) { return make_concat(n * pixels, c, other, kIsa, type); },
                   {x, b, stored_output(n * pixels * (c + other))});
    const Index first = numbers.between(0, c - 1), count = c - first;
    expect_rounded([&](DType type) { return make_slice(n * pixels, c, first, count, kIsa, type); },
                   {x, stored_output(n * pixels * count)});
  }
}

TEST_F(Bf16, SumsAndLayouts) {
  Numbers numbers("bf16 layouts");
  for (int i = 0; i < 40; ++i) {
    const Index n = numbers.between(1, 5), c = numbers.between(1, 70), pixels = numbers.between(1, 40);
    const Value x = stored(numbers.normal(n * c * pixels));
    expect_rounded([&](DType type) { return make_channel_sum(n * pixels, c, kIsa, type); },
                   {x, plain_output(c)});
    expect_rounded([&](DType type) { return make_flatten(n, c, pixels, kIsa, type); },
                   {x, plain_output(n * c * pixels)});
    expect_rounded([&](DType type) { return make_unflatten(n, c, pixels, kIsa, type); },
                   {plain(numbers.normal(n * c * pixels)), stored_output(n * c * pixels)});
  }
}

TEST_F(Bf16, Pools) {
  Numbers numbers("bf16 pools");
  for (int i = 0; i < 60; ++i) {
    const PoolGeometry g =
        random_pool(numbers, 1, {.n = 4, .c = 90, .h = 20, .w = 20, .kh = 4, .kw = 4, .sh = 3, .sw = 3});
    const Index in = g.n * g.c * g.h * g.w, out = g.n * g.c * g.ho() * g.wo();
    const Value x = stored(numbers.normal(in)), dy = stored(numbers.normal(out));
    // The places of a maximum are bytes, the same for both.
    const auto places = [&](DType type) {
      Operand values = activations(x.content, type);
      return run(*make_max_pool(g, kIsa, type),
                 {values, activations_output(out, type), output<std::uint8_t>(out)});
    };
    const Result exact = places(DType::f32), half = places(DType::bf16);
    ASSERT_EQ(half.get<std::uint8_t>(2), exact.get<std::uint8_t>(2));
    for (std::size_t k = 0; k < static_cast<std::size_t>(out); k += 7)
      ASSERT_EQ(static_cast<float>(reinterpret_cast<const BFloat16*>(half.bytes(1).data())[k]),
                reinterpret_cast<const float*>(exact.bytes(1).data())[k]);
    const auto spread = [&](DType type) {
      return run(
          *make_max_pool_gradient(g, kIsa, type),
          {activations(dy.content, type), input(exact.get<std::uint8_t>(2)), activations_output(in, type)});
    };
    std::vector<float> wanted = spread(DType::f32).get(2), got;
    for (float& v : wanted) v = static_cast<float>(BFloat16(v));
    for (const BFloat16 v : spread(DType::bf16).get<BFloat16>(2)) got.push_back(static_cast<float>(v));
    ASSERT_EQ(got, wanted);
    expect_rounded([&](DType type) { return make_avg_pool(g, kIsa, type); }, {x, stored_output(out)});
    expect_rounded([&](DType type) { return make_avg_pool_gradient(g, kIsa, type); },
                   {dy, stored_output(in)});
  }
}

TEST_F(Bf16, Norms) {
  Numbers numbers("bf16 norms");
  for (int i = 0; i < 60; ++i) {
    const NormGeometry g = {.n = numbers.between(1, 6),
                            .c = numbers.between(1, i % 3 == 0 ? 300 : 70),
                            .pixels = numbers.between(2, i % 5 == 0 ? 900 : 60),
                            .add = i % 2 == 1,
                            .relu = i % 4 >= 2};
    const Index size = g.rows() * g.c;
    Values variance = numbers.normal(g.c);
    for (double& v : variance) v = 0.1 + v * v;
    const Value x = stored(numbers.normal(size, 0.5)), gamma = plain(numbers.normal(g.c, 1, 0.5));
    const Value mean = plain(numbers.normal(g.c)), positive = plain(variance), channel = plain_output(g.c);
    std::vector<Value> inputs = {x, gamma, plain(numbers.normal(g.c)), mean, positive};
    if (g.add) inputs.push_back(stored(numbers.normal(size)));
    inputs.push_back(stored_output(size));
    expect_rounded([&](DType type) { return make_norm_eval(g, kIsa, type); }, inputs);
    for (int output = 0; output < 4; ++output) inputs.push_back(channel);
    expect_rounded([&](DType type) { return make_norm_train(g, kIsa, type); }, inputs);
    std::vector<Value> gradient = {stored(numbers.normal(size)), x, gamma, mean, positive};
    if (g.relu) gradient.push_back(stored(numbers.normal(size)));
    gradient.push_back(stored_output(size));
    gradient.push_back(channel);
    gradient.push_back(channel);
    if (g.add) gradient.push_back(stored_output(size));
    expect_rounded([&](DType type) { return make_norm_gradient(g, kIsa, type); }, gradient);
  }
}

TEST(BFloat16, RoundsToTheNearestTiesToEvenAndKeepsWhatIsNoNumber) {
  const auto rounded = [](float v) { return static_cast<float>(BFloat16(v)); };
  EXPECT_EQ(rounded(1.0F), 1.0F);
  EXPECT_EQ(rounded(1.0F + 0x1p-8F), 1.0F);            // a tie, to the even one below
  EXPECT_EQ(rounded(1.0F + 0x3p-8F), 1.0F + 0x2p-7F);  // a tie, to the even one above
  EXPECT_EQ(rounded(1.0F + 0x1p-8F + 0x1p-20F), 1.0F + 0x1p-7F);
  EXPECT_EQ(rounded(-3.0e38F), -static_cast<float>(BFloat16(3.0e38F)));
  EXPECT_EQ(rounded(3.4e38F), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7f800001U))));
}

TEST(Bf16Refusal, OtherInstructionSetsHaveNone) {
  EXPECT_THROW(make_relu(8, Isa::avx512, DType::bf16), ConfigError);
  EXPECT_THROW(make_relu(8, kIsa, DType::f64), ConfigError);
}

}  // namespace
}  // namespace resnet::kernels
