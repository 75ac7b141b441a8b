// The words for a host compiler: the emulator defines them (src/emulator/block.cpp).
#pragma once

#include <cstdint>
#include <cstring>

#define RESNET_WORD inline
#define RESNET_UNROLL
#define RESNET_NO_UNROLL
#define RESNET_UNROLL_8

namespace resnet::device {

int thread();
int block();
int blocks();
void sync();

/// The bytes of shared memory that a load reads or a store writes, once they have been checked: within the
/// block's memory, aligned, written before they are read, and not raced for since the last barrier.
const unsigned char* checked_load(std::int64_t offset, int bytes);
unsigned char* checked_store(std::int64_t offset, int bytes);
/// Ends the kernel with this message unless the address is a multiple.
void expect_aligned(const void* address, int bytes);

template <class T>
class Shared {
 public:
  explicit Shared(std::int64_t offset) : offset_(offset) {}
  T load(std::int64_t i) const {
    T value;
    std::memcpy(&value, checked_load(offset_ + i * std::int64_t{sizeof(T)}, sizeof(T)), sizeof value);
    return value;
  }
  void store(std::int64_t i, const T& value) const {
    std::memcpy(checked_store(offset_ + i * std::int64_t{sizeof(T)}, sizeof(T)), &value, sizeof value);
  }
  Shared operator+(std::int64_t i) const { return Shared(offset_ + i * std::int64_t{sizeof(T)}); }
  Shared flipped(std::int64_t i) const { return Shared(offset_ ^ i * std::int64_t{sizeof(T)}); }
  /// The same bytes as elements of another type.
  template <class U>
  Shared<U> as() const {
    return Shared<U>(offset_);
  }
  std::int64_t offset() const { return offset_; }

 private:
  std::int64_t offset_;
};

template <class T>
Shared<T> shared(std::int64_t bytes) {
  return Shared<T>(bytes);
}

/// The bits that another lane of the warp gives in the same call.
std::uint64_t exchange(std::uint64_t bits, int from_lane);

template <class T>
T shuffle_xor(T value, int mask) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, (thread() % 32) ^ mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void copy16_async_at(std::int64_t offset, const void* from, bool valid);
void commit();
void wait_for(int groups_under_way);
template <int N>
void wait() {
  wait_for(N);
}
template <class T>
void copy16_async(Shared<T> to, const void* from, bool valid) {
  copy16_async_at(to.offset(), from, valid);
}

void ldmatrix_at(std::uint32_t (&r)[4], std::int64_t row, bool transposed);
template <class T>
void ldmatrix(std::uint32_t (&r)[4], Shared<T> row) {
  ldmatrix_at(r, row.offset(), false);
}
template <class T>
void ldmatrix_trans(std::uint32_t (&r)[4], Shared<T> row) {
  ldmatrix_at(r, row.offset(), true);
}

/// d += a * b: a 16x16 (tf32: 16x8), b 16x8 (8x8), in f32.
void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

/// The bits of two numbers rounded to bf16, to the nearest, ties to even. NaN stays NaN, its bits are the
/// device's.
inline std::uint32_t to_bf16_pair(float low, float high) {
  const auto rounded = [](float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffU) > 0x7f800000U) return bits >> 16U | 0x40U;
    return (bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U;
  };
  return rounded(low) | rounded(high) << 16U;
}

/// The bits of a number rounded to the 10 bits of mantissa that tf32 has, ties away from zero.
inline std::uint32_t to_tf32(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7f800000U) == 0x7f800000U) return bits;
  return (bits + 0x1000U) & 0xffffe000U;
}

}  // namespace resnet::device
