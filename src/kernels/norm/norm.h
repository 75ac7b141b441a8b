// Batch normalisation over [rows][channels], rows = N*H*W.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/machine.h"
#include "kernels/kernel.h"
#include "kernels/pool/pool.h"
#include "resnet/tensor.h"

namespace resnet::kernels {

struct NormGeometry {
  std::int64_t n = 1, c = 1, pixels = 1;  // images, channels, H*W
  double eps = 1e-5;
  double momentum = 0.1;                  // running = (1 - momentum) * running + momentum * batch
  bool add = false;                       // z = y + residual before the ReLU
  bool relu = false;                      // z = max(z, 0)
  bool relu_mask = false;                 // where z > 0 is kept as bits; only with relu and without pool
  std::optional<PoolGeometry> pool = {};  // then the largest z of each window

  // What neighbours do for a norm, so that it goes over its maps less often or not at all.
  bool stats_from_producer = false;   // train: moments of x are an operand; gradient: sums are, dz is masked
  bool coefficients_only = false;     // the result is the coefficients by which readers apply the norm
  bool gate_by_coefficients = false;  // gradient: z > 0 follows from x and the forward pass's coefficients
  std::int64_t samples = 0;           // not 0: x holds a pool's winners, its moments are of `samples` rows

  std::int64_t rows() const noexcept { return n * pixels; }
  std::int64_t counted() const noexcept { return samples != 0 ? samples : rows(); }
};

/// References in double on [N,C,pixels]. Variance is biased to normalise and unbiased for the running
/// estimate. Fused options (add, relu, pool) do not apply to them.
void reference_norm_train(const NormGeometry& g, View<const double> x, View<const double> gamma,
                          View<const double> beta, View<const double> running_mean,
                          View<const double> running_var, View<double> y, View<double> mean,
                          View<double> inv_std, View<double> new_running_mean, View<double> new_running_var);
void reference_norm_eval(const NormGeometry& g, View<const double> x, View<const double> gamma,
                         View<const double> beta, View<const double> running_mean,
                         View<const double> running_var, View<double> y);
void reference_norm_gradient(const NormGeometry& g, View<const double> dy, View<const double> x,
                             View<const double> gamma, View<const double> mean, View<const double> inv_std,
                             View<double> dx, View<double> dgamma, View<double> dbeta);

/// Native kernels on NHWC. x, residual, z and their gradients are of type `storage`, f32 or bf16, all else
/// is f32. Operands:
///   train     x, gamma, beta, running_mean, running_var, residual (if add), moments (if stats_from_producer)
///             -> z or coefficients, mean, inv_std, new_running_mean (optional), new_running_var (optional),
///             index (if pool; optional) or mask (if relu_mask)
///             The new running values may be the same memory as the old ones. z may be the same
///             memory as residual, never as x.
///   eval      x, gamma, beta, running_mean, running_var, residual (if add)
///             -> z (may be x or residual) or coefficients, index (if pool; optional)
///   gradient  dz, x, gamma, mean, inv_std, index (if pool), z (if relu) or its mask (if relu_mask) or
///             coefficients (if gate_by_coefficients), sums (if stats_from_producer), moments (if samples)
///             -> dx or gradient coefficients, dgamma, dbeta, dresidual (if add; optional)
///             With relu, dz counts only where z > 0 or NaN; dresidual is that masked dz (without relu: dz).
///             dx may be the same memory as x or dz, dresidual as dz unless dx is.
/// What passes between norms and their neighbours, by channel:
///   moments [3,C]                mean, what rounding it to f32 left, biased variance
///   coefficients [3,C]           mean, scale, offset:
///                                z = (x - mean) * scale + offset before addition and ReLU
///   sums [3,C]                   of dz, dz * (x - mean) and x - mean
///   gradient coefficients [4,C]  mean, scale_dz, scale_x, offset:
///                                dx = dz * scale_dz + ((x - mean) * scale_x + offset)
/// With coefficients_only, x and dz may be null with stats_from_producer, and there is no add, mask or pool.
/// With samples, stats are from the producer, a gradient is coefficients_only, and of its sums x - mean does
/// not matter.
/// With pool, z, dz and index have the pooled shape, index as in pool.h, z is no operand's memory, and there
/// is no add. Of every window the x with the largest z is chosen before there is a z: the largest, or where
/// gamma is negative the smallest, the first where several are equal.
///
/// Sums are taken about a per-channel shift, in fixed chunks merged in double: within 1e-6 (relative to the
/// largest |y|) of the reference, also where the mean is 1000 standard deviations.
std::unique_ptr<Kernel> make_norm_train(const NormGeometry& g, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_norm_eval(const NormGeometry& g, Isa isa, DType storage = DType::f32);
std::unique_ptr<Kernel> make_norm_gradient(const NormGeometry& g, Isa isa, DType storage = DType::f32);

/// Bytes of the ReLU mask of n elements, one bit each: some more, as vectors are read whole.
constexpr std::int64_t relu_mask_bytes(std::int64_t n) noexcept {
  return (n + 7) / 8 + 8;
}

/// Whether a norm should fuse this pool. Its gradient spreads the pool's row by row: rows must be short
/// enough for L2, and few of them made twice.
bool norm_fuses(const PoolGeometry& pool);

}  // namespace resnet::kernels
