// What the tests of convolutions share: a native convolution against the readable one in double.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "base/machine.h"
#include "kernels/conv/conv.h"

namespace resnet::kernels::testing {

/// An instruction set and what activations are stored as.
struct ConvMachine {
  Isa isa = Isa::avx2;
  DType storage = DType::f32;
  bool from_images = false;  // the source is f32, the result bf16
};
void PrintTo(const ConvMachine& machine, std::ostream* out);

/// Those that this processor runs; says which it does not.
std::vector<ConvMachine> conv_machines();

/// By its name, as plans print it: "direct", "F(4x4)".
const ConvAlgorithm& algorithm(std::string_view name);

/// `integers`: inputs whose sums are exact in f32, so nothing may differ but what rounding the result to bf16
/// takes. Otherwise every result may be off by roundings * epsilon * magnitude: the bound of sums in any
/// order. All passes, with one to four threads. `with_addend`: the forward pass has a bias, the input
/// gradient something to add to. `by`: an algorithm's name.
void compare(const ConvGeometry& g, const ConvMachine& machine, std::string_view by, std::uint64_t seed,
             bool integers, bool with_addend);

/// Weights with a NaN and infinities: of forward and input gradient, what is NaN, infinite and finite is
/// where the direct algorithm has it.
void expect_kinds_of_direct(const ConvGeometry& g, const ConvMachine& machine, std::string_view by,
                            std::uint64_t seed);

/// The largest relative error of a pass's results where all numbers are positive.
double error_of_positive_sums(const ConvGeometry& g, ConvPass pass, const ConvMachine& machine,
                              std::uint64_t seed);

std::string text_of(const ConvGeometry& g);

/// A problem with awkward extents, the same for a seed, whose three passes take a double reference a moment.
ConvGeometry random_geometry(std::uint64_t seed);
ConvGeometry random_winograd_geometry(std::uint64_t seed);
ConvGeometry random_parity_geometry(std::uint64_t seed);
ConvGeometry random_grouped_geometry(std::uint64_t seed);

/// compare() for the seeds [first, end), until one fails: the direct kernels on integers and on floats,
/// Winograd's on floats, parity's on integers, those of groups on integers and, every fourth, on floats.
void compare_direct_on_integers(const ConvMachine& machine, std::uint64_t first, std::uint64_t end);
void compare_direct_on_floats(const ConvMachine& machine, std::uint64_t first, std::uint64_t end);
void compare_winograd(const ConvMachine& machine, std::uint64_t first, std::uint64_t end);
void compare_parity(const ConvMachine& machine, std::uint64_t first, std::uint64_t end);
void compare_grouped(const ConvMachine& machine, std::uint64_t first, std::uint64_t end);

}  // namespace resnet::kernels::testing
