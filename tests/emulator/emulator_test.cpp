// What the emulator finds in kernels that a GPU would let pass.
#include "emulator/emulator.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

#include "device/kernels.h"
#include "device/words.h"

namespace resnet::emulator {
namespace {

using device::Bf16;
using device::block;
using device::kWarp;
using device::Shared;
using device::shared;
using device::shuffle_xor;
using device::sync;
using device::thread;

void expect_fault(const std::string& fault, const std::string& part) {
  EXPECT_NE(fault.find(part), std::string::npos) << "it says: " << fault;
}

TEST(Emulator, RunsEveryThreadOfEveryBlockOnce) {
  for (const Order order : {Order::forward, Order::reverse}) {
    std::vector<int> count(3 * 70);
    EXPECT_EQ(run(
                  3, 70, 0, [&] { ++count[static_cast<std::size_t>(block() * 70 + thread())]; }, order),
              "");
    EXPECT_EQ(count, std::vector<int>(count.size(), 1));
  }
}

TEST(Emulator, LetsNumbersPassThroughSharedMemoryBehindABarrier) {
  std::vector<int> got(64);
  EXPECT_EQ(run(1, 64, 256,
                [&] {
                  const Shared<int> memory = shared<int>(0);
                  for (int round = 0; round < 3; ++round) {
                    memory.store(thread(), thread() + round);
                    sync();
                    got[static_cast<std::size_t>(thread())] = memory.load(63 - thread());
                    sync();
                  }
                }),
            "");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], 63 - i + 2);
}

TEST(Emulator, FindsAMissingBarrier) {
  const auto kernel = [] {
    const Shared<int> memory = shared<int>(0);
    memory.store(thread(), 1);
    sync();
    memory.store(thread(), 2);
    static_cast<void>(memory.load(31 - thread()));
  };
  for (const Order order : {Order::forward, Order::reverse})
    expect_fault(run(1, 32, 128, kernel, order), "a sync() is missing");
  const auto overwrites = [] {
    const Shared<int> memory = shared<int>(0);
    if (thread() == 0) memory.store(0, 1);
    sync();
    static_cast<void>(memory.load(0));
    if (thread() == 31) memory.store(0, 2);
  };
  for (const Order order : {Order::forward, Order::reverse})
    expect_fault(run(1, 32, 128, overwrites, order), "a sync() is missing");
}

TEST(Emulator, KnowsWhoWroteEachElementOfTwoBytes) {
  const auto kernel = [](int elements) {
    return [=] {
      const Shared<Bf16> memory = shared<Bf16>(0);
      memory.store(thread() % elements, Bf16{1});
      sync();
      static_cast<void>(memory.load((thread() + 1) % elements));
    };
  };
  for (const Order order : {Order::forward, Order::reverse}) {
    EXPECT_EQ(run(1, 32, 64, kernel(32), order), "");  // neighbours have a writer each
    expect_fault(run(1, 32, 64, kernel(31), order), "a sync() is missing");
  }
  expect_fault(run(1, 2, 64,
                   [] {
                     if (thread() == 0) shared<Bf16>(0).store(1, Bf16{1});
                     if (thread() == 1) static_cast<void>(shared<Bf16>(0).load(0));
                   }),
               "which nobody has written");
}

TEST(Emulator, FindsUnwrittenMisalignedAndForeignSharedMemory) {
  expect_fault(run(1, 1, 64, [] { static_cast<void>(shared<int>(0).load(3)); }), "which nobody has written");
  expect_fault(run(1, 1, 64, [] { shared<int>(2).store(0, 1); }), "no multiple");
  expect_fault(run(1, 1, 64, [] { shared<int>(0).store(16, 1); }), "writes byte 64 of 64");
  expect_fault(run(1, 1, 64, [] { static_cast<void>(shared<int>(0).load(-1)); }), "reads byte -4 of 64");
}

TEST(Emulator, FindsMisalignedGlobalMemory) {
  alignas(16) const float values[8] = {};
  EXPECT_EQ(run(1, 1, 0, [&] { static_cast<void>(device::load_pack(values)); }), "");
  expect_fault(run(1, 1, 0, [&] { static_cast<void>(device::load_pack(values + 1)); }), "no multiple");
}

TEST(Emulator, FindsUnequalBarriers) {
  expect_fault(run(1, 64, 0, [] { thread() < 32 ? sync() : void(); }), "threads wait for others");
  expect_fault(run(1, 32, 0,
                   [] {
                     if (thread() < 16) static_cast<void>(shuffle_xor(1, 1));
                   }),
               "threads wait for others");
  std::uint32_t r[4];
  expect_fault(run(1, 32, 1024,
                   [&] {
                     if (thread() < 16) {
                       static_cast<void>(shuffle_xor(1, 1));
                     } else {
                       device::ldmatrix(r, shared<Bf16>(0));
                     }
                   }),
               "where others of its warp call shuffle");
}

TEST(Emulator, ShufflesWithinWarps) {
  std::vector<double> sums(64);
  EXPECT_EQ(run(1, 64, 0,
                [&] {
                  double v = thread();
                  for (int mask = 16; mask > 0; mask /= 2) v += shuffle_xor(v, mask);
                  sums[static_cast<std::size_t>(thread())] = v;
                }),
            "");
  EXPECT_EQ(sums[5], 31 * 32 / 2);
  EXPECT_EQ(sums[40], 31 * 32 / 2 + 32 * 32);
}

// Copies 16 bytes a thread; `waits` says whether and with how many groups under way.
std::string copied(int waits, bool valid, std::vector<int>& got) {
  alignas(16) static const int from[2][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  got.assign(2, -1);
  return run(1, 1, 64, [&] {
    for (int group = 0; group < 2; ++group) {
      device::copy16_async(shared<int>(16 * group), from[group], valid);
      device::commit();
    }
    if (waits == 0) device::wait<0>();
    if (waits == 1) device::wait<1>();
    got[0] = shared<int>(0).load(1);
    got[1] = shared<int>(16).load(1);
    device::wait<0>();
  });
}

TEST(Emulator, LandsAsynchronousCopiesAtTheirWaitAlone) {
  std::vector<int> got;
  EXPECT_EQ(copied(0, true, got), "");
  EXPECT_EQ(got, (std::vector<int>{2, 6}));
  EXPECT_EQ(copied(0, false, got), "");
  EXPECT_EQ(got, (std::vector<int>{0, 0}));
  expect_fault(copied(1, true, got), "reads byte 20 of shared memory while a copy to it is under way");
  EXPECT_EQ(got[0], 2);
  expect_fault(copied(2, true, got), "reads byte 4 of shared memory while a copy to it is under way");
  expect_fault(run(1, 1, 16,
                   [] {
                     alignas(16) static const int from[4] = {};
                     device::copy16_async(shared<int>(0), from, true);
                   }),
               "ends with copies under way");
}

TEST(Emulator, CountsBankConflictsOfMatrixLoads) {
  const auto conflicts = [](int pitch) {
    Statistics statistics;
    const std::string fault = run(
        1, kWarp, 32 * 128,
        [&] {
          for (int i = thread(); i < 32 * 64; i += kWarp)
            shared<Bf16>(0).store(i, Bf16{static_cast<std::uint16_t>(i)});
          sync();
          std::uint32_t r[4];
          device::ldmatrix(r, shared<Bf16>(0) + thread() % 32 * pitch);
        },
        Order::forward, &statistics);
    EXPECT_EQ(fault, "");
    return statistics.bank_conflicts;
  };
  EXPECT_EQ(conflicts(64), 4 * 7);  // all rows of a matrix in one bank
  EXPECT_EQ(conflicts(16), 4 * 4);
  EXPECT_EQ(conflicts(40), 0);
}

TEST(Emulator, CountsBankConflictsOfSixteenBytesByQuartersOfAWarp) {
  struct alignas(16) Row {
    float v[4];
  };
  alignas(16) static const Row from = {};
  const auto conflicts = [](int pitch, bool copies) {
    Statistics statistics;
    const std::string fault = run(
        1, kWarp, 32 * 128 + 128,
        [&] {
          const Shared<Row> to = shared<Row>(0) + thread() * pitch;
          if (copies) {
            device::copy16_async(to, &from, true);
            device::commit();
            device::wait<0>();
          } else {
            to.store(0, from);
          }
          sync();
        },
        Order::forward, &statistics);
    EXPECT_EQ(fault, "");
    return statistics.bank_conflicts;
  };
  for (const bool copies : {false, true}) {
    EXPECT_EQ(conflicts(1, copies), 0);
    EXPECT_EQ(conflicts(5, copies), 0);
    EXPECT_EQ(conflicts(8, copies), 4 * 7);
    EXPECT_EQ(conflicts(4, copies), 4 * 6);
  }
}

// c = a * b for a [16][depth], b [depth][8], a whole warp, by fragments as the PTX ISA has them.
template <class Fragments>
void expect_products(int depth, const Fragments& fragments) {
  std::vector<float> a(static_cast<std::size_t>(16 * depth)), b(static_cast<std::size_t>(depth * 8)),
      c(16 * 8);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 23) - 11;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 19) - 9;
  EXPECT_EQ(run(1, kWarp, 4096,
                [&] {
                  float d[4] = {};
                  fragments(a, b, d);
                  for (int i = 0; i < 4; ++i)
                    c[static_cast<std::size_t>((thread() / 4 + i / 2 * 8) * 8 + thread() % 4 * 2 + i % 2)] =
                        d[i];
                }),
            "");
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      float expected = 0;
      for (int k = 0; k < depth; ++k)
        expected += a[static_cast<std::size_t>(m * depth + k)] * b[static_cast<std::size_t>(k * 8 + n)];
      EXPECT_EQ(c[static_cast<std::size_t>(m * 8 + n)], expected) << m << "," << n;
    }
  }
}

TEST(Emulator, MultipliesFragmentsOfBf16FromBothOrdersInMemory) {
  for (const bool transposed : {false, true}) {
    expect_products(16, [transposed](const std::vector<float>& a, const std::vector<float>& b, float(&d)[4]) {
      const Shared<Bf16> left = shared<Bf16>(0), right = shared<Bf16>(2048);
      for (int i = thread(); i < 16 * 16; i += kWarp) {
        const int m = i / 16, k = i % 16;
        left.store(transposed ? k * 24 + m : m * 24 + k,
                   device::rounded<Bf16>(a[static_cast<std::size_t>(i)]));
      }
      for (int i = thread(); i < 16 * 8; i += kWarp) {
        const int k = i / 8, n = i % 8;
        for (const int copy : {0, 8})  // the second half of ldmatrix's columns
          right.store(transposed ? k * 24 + n + copy : (n + copy) * 24 + k,
                      device::rounded<Bf16>(b[static_cast<std::size_t>(i)]));
      }
      sync();
      std::uint32_t rows[4], columns[4];
      const int lane = thread() % 8, second = thread() / 8 % 2 * 8, third = thread() / 16 * 8;
      if (transposed) {
        device::ldmatrix_trans(rows, left + (third + lane) * 24 + second);
        device::ldmatrix_trans(columns, right + (second + lane) * 24 + third);
      } else {
        device::ldmatrix(rows, left + (second + lane) * 24 + third);
        device::ldmatrix(columns, right + (third + lane) * 24 + second);
      }
      device::mma_bf16(d, rows, columns[0], columns[1]);
      EXPECT_EQ(columns[0], columns[2]);
    });
  }
}

TEST(Emulator, MultipliesFragmentsOfTf32) {
  expect_products(8, [](const std::vector<float>& a, const std::vector<float>& b, float(&d)[4]) {
    std::uint32_t rows[4], columns[2];
    for (int r = 0; r < 4; ++r)
      rows[r] = device::to_tf32(
          a[static_cast<std::size_t>((thread() / 4 + r % 2 * 8) * 8 + thread() % 4 + r / 2 * 4)]);
    for (int r = 0; r < 2; ++r)
      columns[r] = device::to_tf32(b[static_cast<std::size_t>((thread() % 4 + r * 4) * 8 + thread() / 4)]);
    device::mma_tf32(d, rows, columns[0], columns[1]);
  });
  expect_fault(run(1, kWarp, 0,
                   [] {
                     float d[4] = {};
                     const std::uint32_t rows[4] = {std::bit_cast<std::uint32_t>(1.0F / 3), 0, 0, 0};
                     device::mma_tf32(d, rows, 0, 0);
                   }),
               "to_tf32 has not rounded");
}

TEST(Words, RoundToBf16AndTf32) {
  const auto bf16 = [](float v) { return device::to_float(device::rounded<Bf16>(v)); };
  EXPECT_EQ(bf16(1.0F + 0x1p-8F), 1.0F);                // a tie, to the even one
  EXPECT_EQ(bf16(1.0F + 3 * 0x1p-8F), 1.0F + 0x1p-6F);  // likewise, upwards
  EXPECT_EQ(bf16(1.0F + 0x1.8p-8F), 1.0F + 0x1p-7F);
  EXPECT_TRUE(std::isnan(bf16(std::bit_cast<float>(0x7fffffffU))));
  EXPECT_TRUE(std::isnan(bf16(std::bit_cast<float>(0x7f800001U))));
  EXPECT_TRUE(std::isinf(bf16(3.4e38F)));
  EXPECT_EQ(std::bit_cast<float>(device::to_tf32(1.0F + 0x1p-11F)), 1.0F + 0x1p-10F);
  EXPECT_EQ(std::bit_cast<float>(device::to_tf32(1.0F + 0x1p-12F)), 1.0F);
}

TEST(EmulatedDevice, CapturesWorkAndRunsItWhenItsGraphIsLaunched) {
  const resnet_device_api& d = api();
  resnet_stream* stream = nullptr;
  ASSERT_EQ(d.make_stream(&stream), 0);
  void* memory = nullptr;
  ASSERT_EQ(d.allocate(64, &memory), 0);
  std::vector<float> values(16, 2.0F), got(16);
  EXPECT_EQ(d.copy(stream, memory, values.data(), 64), 0);
  device::SweepArgs args{.a = memory, .b = memory, .y = memory, .elements = 16};
  const resnet_launch launch{static_cast<std::uint32_t>(device::KernelId::add_f32), 1, 0, sizeof args, &args};
  ASSERT_EQ(d.begin_capture(stream), 0);
  ASSERT_EQ(d.launch(stream, &launch), 0);
  args = {};  // was taken by value
  resnet_graph* graph = nullptr;
  ASSERT_EQ(d.end_capture(stream, &graph), 0);
  EXPECT_EQ(d.copy(stream, got.data(), memory, 64), 0);
  EXPECT_EQ(got[7], 2.0F);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(d.launch_graph(stream, graph), 0);
  EXPECT_EQ(d.copy(stream, got.data(), memory, 64), 0);
  EXPECT_EQ(got, std::vector<float>(16, 16.0F));
  d.end_graph(graph);
  d.release(memory);
  d.end_stream(stream);
}

TEST(EmulatedDevice, EndsWhoGoesOnBehindItsMemory) {
  const resnet_device_api& d = api();
  void* memory = nullptr;
  ASSERT_EQ(d.allocate(512, &memory), 0);
  const auto* values = static_cast<const volatile float*>(memory);
  EXPECT_TRUE(std::isnan(values[127]));
  EXPECT_DEATH(static_cast<void>(values[128]), "");
  d.release(memory);
  d.release(nullptr);
}

TEST(EmulatedDevice, RefusesLaunchesThatFitNoKernel) {
  const resnet_device_api& d = api();
  resnet_stream* stream = nullptr;
  ASSERT_EQ(d.make_stream(&stream), 0);
  device::SweepArgs args{};
  const auto refused = [&](resnet_launch launch, const std::string& part) {
    EXPECT_NE(d.launch(stream, &launch), 0);
    expect_fault(d.error(), part);
  };
  refused({100000, 1, 0, sizeof args, &args}, "no such kernel");
  refused({0, 1, 0, 8, &args}, "other arguments");
  refused({0, 0, 0, sizeof args, &args}, "without blocks");
  refused({0, 1, 1U << 20U, sizeof args, &args}, "more shared memory");
  constexpr std::uint32_t kMost = device::kMostShared;  // as the plugin has it
  refused({0, 1, kMost + 1, sizeof args, &args}, "more shared memory");
  const resnet_launch most = {0, 1, kMost, sizeof args, &args};
  EXPECT_EQ(d.launch(stream, &most), 0) << d.error();
  d.end_stream(stream);
}

}  // namespace
}  // namespace resnet::emulator
