// What works element by element, channel by channel, or only moves data.
#pragma once

#include <cstdint>
#include <memory>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

/// References in double; all views of one call have equal size, except where said.
void reference_relu(View<const double> x, View<double> y);
/// dx = dy where y > 0 or NaN, else 0.
void reference_relu_gradient(View<const double> dy, View<const double> y, View<double> dx);
void reference_add(View<const double> a, View<const double> b, View<double> y);
void reference_channel_sum(View<const double> x, View<double> sum);  // x [N,C] or [N,C,...], sum [C]
/// y = x / (1 - p) where kept, else 0, or NaN where x is not finite, as PyTorch's. Element i of the public
/// layout [N, rest...] is kept when the random number of (seed, stream `layer`, step, i) is >= p.
void reference_dropout(double p, std::uint64_t layer, std::int64_t seed, std::int64_t step,
                       View<const double> x, View<double> y);
/// The same with the random number i of example i for all of it: x [N, rest...].
void reference_drop_path(double p, std::uint64_t layer, std::int64_t seed, std::int64_t step,
                         View<const double> x, View<double> y);

/// y = sigmoid(x) = 1 / (1 + exp(-x)), x sigmoid(x), or x Phi(x) with the normal distribution's function Phi
/// (exact, not the approximation by tanh).
enum class Activation : std::uint8_t { sigmoid, silu, gelu };
void reference_activation(Activation kind, View<const double> x, View<double> y);
void reference_activation_gradient(Activation kind, View<const double> dy, View<const double> x,
                                   View<double> dx);
/// b of a's shape, or a number for each [n][c] of a [n,c,h,w]; dgate is the gradient of the latter.
void reference_mul(View<const double> a, View<const double> b, View<double> y);
void reference_mul_gate_gradient(View<const double> dy, View<const double> x, View<double> dgate);
/// Along the channels, axis 1; a slice begins at channel `first`.
void reference_concat(View<const double> a, View<const double> b, View<double> y);
void reference_slice(View<const double> x, std::int64_t first, View<double> y);

/// Native kernels, `storage` is f32 or bf16 and that of every operand but sums. Operands (an output may be
/// the same memory as an input of its size, except flatten):
///   relu             x -> y
///   relu gradient    dy, y -> dx
///   add              a, b -> y
///   channel sum      x [rows][c] -> sum [c]        (fixed chunks, merged in double)
///   dropout          x, seed_step (i64 [2]) -> y   (its gradient is itself, applied to dy)
///   drop path        x [n][elements], seed_step -> y             (as well)
///   flatten          x [n][pixels][c] -> y [n][c*pixels] in NCHW order;  unflatten is the way back
///   activation       x -> y                        (within 8 + 2 x^2 roundings, 2^-24 each; NaN stays NaN)
///   its gradient     dy, x -> dx
///   mul              a, b -> y
///   mul gate         x [n][pixels][c], gate [n][c] -> y
///   its gradient     dy, x -> dgate [n][c], in blocks of 32 pixels
///   concat           a [rows][a], b [rows][b] -> y [rows][a+b]     (not in place)
///   slice            x [rows][c] -> y [rows][count], channels from `first` on     (not in place)
std::unique_ptr<Kernel> make_relu(std::int64_t elements, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_relu_gradient(std::int64_t elements, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_add(std::int64_t elements, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_channel_sum(std::int64_t rows, std::int64_t c, Isa isa,
                                         DType storage = DType::f32);
/// The tensor is [n][pixels][c] in memory; numbering follows the public layout [n][c][pixels].
std::unique_ptr<Kernel> make_dropout(double p, std::uint64_t layer, std::int64_t n, std::int64_t c,
                                     std::int64_t pixels, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_drop_path(double p, std::uint64_t layer, std::int64_t n, std::int64_t elements,
                                       Isa isa, DType storage = DType::f32);
/// `storage`: of [n][pixels][c]; the other is f32.
std::unique_ptr<Kernel> make_flatten(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                     DType storage = DType::f32);
std::unique_ptr<Kernel> make_unflatten(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                       DType storage = DType::f32);

std::unique_ptr<Kernel> make_activation(Activation kind, std::int64_t elements, Isa isa,
                                        DType storage = DType::f32);
std::unique_ptr<Kernel> make_activation_gradient(Activation kind, std::int64_t elements, Isa isa,
                                                 DType storage = DType::f32);
std::unique_ptr<Kernel> make_mul(std::int64_t elements, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_mul_gate(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                      DType storage = DType::f32);
std::unique_ptr<Kernel> make_mul_gate_gradient(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                               DType storage = DType::f32);
std::unique_ptr<Kernel> make_concat(std::int64_t rows, std::int64_t a, std::int64_t b, Isa isa,
                                    DType storage = DType::f32);
std::unique_ptr<Kernel> make_slice(std::int64_t rows, std::int64_t c, std::int64_t first, std::int64_t count,
                                   Isa isa, DType storage = DType::f32);

}  // namespace resnet::kernels
