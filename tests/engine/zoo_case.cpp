#include "engine/zoo_case.h"

#include <gtest/gtest.h>

#include <iostream>

#include "base/machine.h"
#include "support/oracle.h"

namespace resnet::test {

void PrintTo(const ZooCase& c, std::ostream* out) {
  *out << c.model << ' ' << c.images;
}

void expect_native_matches_reference(const ZooCase& c) {
  const nn::Sequential net = random_network(c.model, {.in_channels = c.images[1], .classes = 10});
  expect_native_matches_reference(net, c.images);
}

void expect_native_matches_reference(const nn::Module& net, const Shape& images, Precision precision) {
  const bool half = precision == Precision::bf16;
  const Network network = network_of(net, images);
  const Examples e = examples(images, 10);
  // A sum of K products in f32 is off by a few 2^-24 of its size, Winograd's by up to 2^-20
  // (docs/decisions/0002-winograd.md). bf16 has 8 bits: operands and stored activations are off by 2^-9 each.
  const Oracle oracle(network, e, half ? 0x1p-8 : 0x1p-20);
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (half && isa != Isa::avx512_bf16) continue;
    if (isa > best_isa()) {
      std::cout << "not run: this processor has no " << name_of(isa) << '\n';
      continue;
    }
    SCOPED_TRACE(std::string(name_of(isa)));
    const auto engine =
        make_native_engine(network, {.threads = 2, .isa = std::string(name_of(isa)), .precision = precision});
    oracle.expect_near(computed_by(*engine, e), !half);
  }
}

}  // namespace resnet::test
