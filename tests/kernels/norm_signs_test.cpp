// A norm that keeps the signs of its ReLU, and a gradient that reads them, give the bits of those that keep
// and read z.
#include <gtest/gtest.h>

#include <string>

#include "kernel_test_support.h"
#include "kernels/norm/norm.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;

template <class Check>
void for_cases(const Check& check) {
  for (const Isa isa : isas()) {
    for (const DType storage : {DType::f32, DType::bf16}) {
      if (storage == DType::bf16 && isa != Isa::avx512_bf16) continue;
      // One pixel less than whole vectors, less than a vector, several chunks, an odd end of the last.
      for (const Shape& shape : {Shape{2, 64, 9, 1}, Shape{1, 3, 2, 1}, Shape{5, 7, 61, 50},
                                 Shape{3, 16, 7, 7}, Shape{2, 513, 5, 1}}) {
        for (const bool add : {false, true}) {
          const NormGeometry g = {
              .n = shape[0], .c = shape[1], .pixels = shape[2] * shape[3], .add = add, .relu = true};
          SCOPED_TRACE(std::string(name_of(isa)) + ", " + std::string(name_of(storage)) + ", " +
                       to_string(shape) + (add ? " + add" : ""));
          check(isa, storage, g);
        }
      }
    }
  }
}

NormGeometry with_signs(NormGeometry g) {
  g.relu_mask = true;
  return g;
}

TEST(NormSigns, AreThoseOfZAndTheGradientReadsThem) {
  for_cases([](Isa isa, DType storage, const NormGeometry& g) {
    const Index elements = g.rows() * g.c;
    Numbers numbers("norm signs");
    std::vector<Operand> operands = {activations(numbers.normal(elements, 0.5), storage),
                                     input(numbers.normal(g.c)), input(numbers.normal(g.c)),
                                     input(numbers.normal(g.c)), input(numbers.normal(g.c, 1, 0.1))};
    if (g.add) operands.push_back(activations(numbers.normal(elements), storage));
    const std::size_t z = operands.size();
    operands.push_back(activations_output(elements, storage));
    for (int i = 0; i < 4; ++i) operands.push_back(output(g.c));
    const Result plain = run(*make_norm_train(g, isa, storage), operands);
    operands.push_back(output<std::uint8_t>(relu_mask_bytes(elements)));
    const Result signed_too = run(*make_norm_train(with_signs(g), isa, storage), operands);
    for (std::size_t i = z; i < z + 5; ++i) EXPECT_EQ(signed_too.bytes(i), plain.bytes(i)) << i;
    const auto bits = signed_too.get<std::uint8_t>(z + 5);
    const Values z_values = values_of(plain.bytes(z), storage);
    Index wrong = 0, set = 0;
    for (Index i = 0; i < elements; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const bool bit = ((bits[at / 8] >> (at % 8)) & 1) != 0;
      const bool above = z_values[at] > 0;
      wrong += bit != above ? 1 : 0;
      set += bit ? 1 : 0;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_TRUE(elements < 100 || (set > elements / 10 && set < elements * 9 / 10)) << set;

    std::vector<Operand> gradient = {activations(numbers.normal(elements), storage),
                                     operands[0],
                                     operands[1],
                                     input(plain.bytes(z + 1)),
                                     input(plain.bytes(z + 2)),
                                     input(plain.bytes(z))};
    const std::size_t dx = gradient.size();
    gradient.push_back(activations_output(elements, storage));
    for (int i = 0; i < 2; ++i) gradient.push_back(output(g.c));
    if (g.add) gradient.push_back(activations_output(elements, storage));
    const Result by_z = run(*make_norm_gradient(g, isa, storage), gradient);
    gradient[dx - 1] = input(signed_too.bytes(z + 5));
    const Result by_signs = run(*make_norm_gradient(with_signs(g), isa, storage), gradient);
    for (std::size_t i = dx; i < gradient.size(); ++i) EXPECT_EQ(by_signs.bytes(i), by_z.bytes(i)) << i;
  });
}

}  // namespace
}  // namespace resnet::kernels
