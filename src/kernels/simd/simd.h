// One source text, compiled for each vector instruction set that the native engine serves, in one
// x86-64 binary; the variant is chosen by the Isa that a kernel is made for, not by a global state.
// avx2 is Highway's AVX2, avx512 and avx512_bf16 are its AVX3. Processors with less are refused by
// best_isa(), so there is no slower variant: the fallback pass of Highway compiles nothing.
//
// A family's vector file, say src/kernels/norm/norm_simd.cpp, reads as follows. It may have headers
// of its own; only this one file is compiled several times.
//
//   #include "kernels/norm/norm_simd.h"       // plain C++: argument structs, declarations
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "kernels/norm/norm_simd.cpp"   // this file, seen from src/
//   #include "kernels/simd/simd.h"                 // no include guard here or above: read once a target
//
//   #if RESNET_VECTOR_TARGET
//   HWY_BEFORE_NAMESPACE();                   // from here on with the target's instructions
//   namespace resnet::kernels {
//   namespace HWY_NAMESPACE {                 // a namespace for each target
//   namespace {
//   namespace hn = hwy::HWY_NAMESPACE;
//
//   void scale(const float* x, float a, float* y, std::int64_t count) {
//     const hn::ScalableTag<float> d;
//     const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
//     std::int64_t i = 0;
//     for (; i + lanes <= count; i += lanes) {
//       hn::StoreU(hn::Mul(hn::Set(d, a), hn::LoadU(d, x + i)), d, y + i);
//     }
//     for (; i < count; ++i) y[i] = a * x[i];
//   }
//
//   }  // namespace
//   const NormFunctions kNormFunctions = {&scale};            // what the family hands out
//   }  // namespace HWY_NAMESPACE
//   }  // namespace resnet::kernels
//   HWY_AFTER_NAMESPACE();
//   #endif
//
//   #if HWY_ONCE                              // once a file, after all targets
//   namespace resnet::kernels {
//   const NormFunctions& norm_functions(Isa isa) { return RESNET_FOR_ISA(isa, kNormFunctions); }
//   }  // namespace resnet::kernels
//   #endif
//
// Mind in the vector part: lambdas need HWY_ATTR behind their parameters (and are best avoided);
// include every header before HWY_BEFORE_NAMESPACE; a function template of the standard library that
// is not inlined there is plain SSE2 code, so keep it out of inner loops. A class with virtual
// functions belongs outside: hand out function pointers instead.

// Nothing less and nothing else than the two targets, whatever -march says. Highway wants a baseline
// target besides; HWY_SCALAR is the one that costs the least to compile.
#ifndef RESNET_KERNELS_SIMD_H
#ifdef HWY_HIGHWAY_INCLUDED
#error "kernels/simd/simd.h must come before any header of Highway"
#endif
#define HWY_DISABLED_TARGETS (~(HWY_SCALAR | HWY_AVX2 | HWY_AVX3))
#define HWY_BROKEN_EMU128 1
#define HWY_BASELINE_TARGETS HWY_SCALAR
#endif

#include <hwy/foreach_target.h>  // re-includes HWY_TARGET_INCLUDE; must come before highway.h
#include <hwy/highway.h>

#ifndef RESNET_KERNELS_SIMD_H
#define RESNET_KERNELS_SIMD_H

#include "base/machine.h"

/// Whether this pass over the file compiles one of our targets.
#define RESNET_VECTOR_TARGET (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3)

/// The variant of `name`, a variable or function of HWY_NAMESPACE, for an Isa. In the HWY_ONCE part,
/// inside the namespace that surrounds HWY_NAMESPACE.
#define RESNET_FOR_ISA(isa, name) ((isa) == ::resnet::Isa::avx2 ? N_AVX2::name : N_AVX3::name)

/// The variant of `name` on bf16, which only Isa::avx512_bf16 runs; that pass compiles it under
/// RESNET_BF16_TARGET.
#define RESNET_FOR_BF16(name) N_AVX3::name
#define RESNET_BF16_TARGET (HWY_TARGET == HWY_AVX3)

#endif
