// A device whose work is as late as it can be: what is changed or read too early is seen.
#include <gtest/gtest.h>

#include <string>

#include "device/kernels.h"
#include "emulator/emulator.h"

namespace resnet::emulator {
namespace {

const resnet_device_api& kApi = api();

struct Late : ::testing::Test {
  Late() {
    set_pace(Pace::late);
    kApi.make_stream(&stream);
    kApi.make_stream(&other);
    set_pace(Pace::at_once);
    for (void** memory : {&device, &more}) kApi.allocate(kBytes, memory);
    for (void** memory : {&pinned, &back}) kApi.allocate_pinned(kBytes, memory);
    for (resnet_event** event : {&first, &second}) kApi.make_event(event);
    set(pinned, 1);
  }
  ~Late() override {
    for (resnet_stream* s : {stream, other}) kApi.end_stream(s);
    for (void* memory : {device, more}) kApi.release(memory);
    for (void* memory : {pinned, back}) kApi.release_pinned(memory);
    for (resnet_event* event : {first, second}) kApi.end_event(event);
  }
  static void set(void* memory, int value) { *static_cast<int*>(memory) = value; }
  static int get(const void* memory) { return *static_cast<const int*>(memory); }

  static constexpr std::uint64_t kBytes = sizeof(int);
  resnet_stream *stream = nullptr, *other = nullptr;
  void *device = nullptr, *more = nullptr, *pinned = nullptr, *back = nullptr;
  resnet_event *first = nullptr, *second = nullptr;
};

TEST_F(Late, PinnedMemoryIsReadAndWrittenWhenSomebodyWaits) {
  kApi.copy(stream, device, pinned, kBytes);
  kApi.copy(stream, back, device, kBytes);
  kApi.record(stream, first);
  set(pinned, 2);  // too early
  set(back, 3);
  EXPECT_EQ(get(back), 3);
  EXPECT_EQ(kApi.wait(first), 0);
  EXPECT_EQ(get(back), 2);
}

TEST_F(Late, AWaitIsForNoMoreThanWasAskedForBefore) {
  kApi.copy(stream, device, pinned, kBytes);
  kApi.copy(stream, back, device, kBytes);
  kApi.record(stream, first);
  set(pinned, 5);
  kApi.copy(stream, device, pinned, kBytes);
  kApi.record(stream, second);
  kApi.wait(first);
  EXPECT_EQ(get(device), 5) << "all before the event";
  set(pinned, 6);
  kApi.wait(second);
  EXPECT_EQ(get(device), 6) << "and not what comes behind it";
}

TEST_F(Late, OtherMemoryOfTheHostIsReadAtOnceAndWrittenBehindAllElse) {
  int value = 7;
  kApi.copy(stream, device, &value, kBytes);
  value = 8;
  int got = 0;
  kApi.copy(stream, &got, device, kBytes);
  EXPECT_EQ(got, 7);
}

TEST_F(Late, AStreamFollowsAnotherOnlyWhereItIsTold) {
  set(back, 0);
  kApi.copy(other, device, pinned, kBytes);
  kApi.record(other, first);
  kApi.fill(stream, more, 0, kBytes);
  kApi.copy(stream, back, device, kBytes);
  kApi.synchronize(stream);
  EXPECT_NE(get(back), 1) << "nothing made it wait for the other";
  kApi.follow(stream, first);
  kApi.copy(stream, back, device, kBytes);
  kApi.synchronize(stream);
  EXPECT_EQ(get(back), 1);
}

TEST_F(Late, ErrorsComeWithTheWait) {
  // Reads 16 bytes where there is no such address.
  const device::SweepArgs args{.a = static_cast<char*>(device) + 2, .b = device, .y = more, .elements = 4};
  const resnet_launch launch{static_cast<std::uint32_t>(device::KernelId::add_f32), 1, 0, sizeof args, &args};
  ASSERT_EQ(kApi.launch(stream, &launch), 0);
  kApi.record(stream, first);
  for (int i = 0; i < 2; ++i) {
    EXPECT_NE(kApi.wait(first), 0);
    EXPECT_NE(std::string(kApi.error()).find("add_f32"), std::string::npos);
  }
}

TEST_F(Late, MemoryGoesWhenNobodyNeedsItAnyMore) {
  void* gone = nullptr;
  kApi.allocate(kBytes, &gone);
  kApi.copy(stream, gone, pinned, kBytes);
  kApi.copy(stream, back, gone, kBytes);
  kApi.release(gone);
  EXPECT_EQ(get(back), 1);
}

}  // namespace
}  // namespace resnet::emulator
