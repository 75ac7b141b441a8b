// The words under nvcc. PTX ISA 8.0, sections on cp.async, ldmatrix and mma.
#pragma once

#include <cstdint>

#define RESNET_WORD __device__ __forceinline__
#define RESNET_UNROLL _Pragma("unroll")
#define RESNET_NO_UNROLL _Pragma("unroll 1")
#define RESNET_UNROLL_8 _Pragma("unroll 8")

namespace resnet::device {

RESNET_WORD int thread() {
  return static_cast<int>(threadIdx.x);
}
RESNET_WORD int block() {
  return static_cast<int>(blockIdx.x);
}
RESNET_WORD int blocks() {
  return static_cast<int>(gridDim.x);
}
RESNET_WORD void sync() {
  __syncthreads();
}
RESNET_WORD void expect_aligned(const void*, int) {}

/// An address within shared memory, of 32 bits: a choice between two is one instruction, and no branch.
template <class T>
class Shared {
 public:
  RESNET_WORD explicit Shared(std::uint32_t address) : address_(address) {}
  RESNET_WORD T load(int i) const { return *at(i); }
  RESNET_WORD void store(int i, const T& value) const { *at(i) = value; }
  RESNET_WORD Shared operator+(int i) const { return Shared(address_ + bytes(i)); }
  RESNET_WORD Shared flipped(int i) const { return Shared(address_ ^ bytes(i)); }
  template <class U>
  RESNET_WORD Shared<U> as() const {
    return Shared<U>(address_);
  }
  RESNET_WORD std::uint32_t address() const { return address_; }

 private:
  RESNET_WORD static std::uint32_t bytes(int i) { return static_cast<std::uint32_t>(i) * sizeof(T); }
  // A sum of addresses, and no index of a pointer, with which nvcc 13.0 finds no end of conv3x3.
  RESNET_WORD T* at(int i) const { return static_cast<T*>(__cvta_shared_to_generic(address_ + bytes(i))); }

  std::uint32_t address_;
};

template <class T>
RESNET_WORD Shared<T> shared(int bytes) {
  extern __shared__ __align__(128) unsigned char memory[];
  return Shared<T>(static_cast<std::uint32_t>(__cvta_generic_to_shared(memory)) +
                   static_cast<std::uint32_t>(bytes));
}

template <class T>
RESNET_WORD T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffU, value, mask);
}

template <class T>
RESNET_WORD void copy16_async(Shared<T> to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to.address()), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}
RESNET_WORD void commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N>
RESNET_WORD void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

template <class T>
RESNET_WORD void ldmatrix(std::uint32_t (&r)[4], Shared<T> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row.address())
               : "memory");
}
template <class T>
RESNET_WORD void ldmatrix_trans(std::uint32_t (&r)[4], Shared<T> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row.address())
               : "memory");
}

RESNET_WORD void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
RESNET_WORD void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
RESNET_WORD std::uint32_t to_bf16_pair(float low, float high) {
  std::uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));  // the upper half comes first
  return bits;
}
RESNET_WORD std::uint32_t to_tf32(float value) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}

}  // namespace resnet::device
