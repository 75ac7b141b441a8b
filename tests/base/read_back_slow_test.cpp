// What reading back costs: the figures of docs/reliability.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <vector>

#include "base/files.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

double milliseconds_of(const std::filesystem::path& path, const std::vector<std::byte>& bytes,
                       Durability durability) {
  const std::array<std::span<const std::byte>, 1> parts = {std::span(bytes)};
  const auto begin = std::chrono::steady_clock::now();
  write_file(path, parts, durability);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

TEST(ReadingBack, CostsReadingTheFile) {
  constexpr std::size_t kBytes = 45'000'000;  // a ResNet-18 of 10 classes in f32
  std::vector<std::byte> bytes(kBytes);
  for (std::size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<std::byte>(i * 2654435761U >> 24U);
  const ScratchFolder folder;
  constexpr int kTimes = 9;
  std::array<std::array<double, kTimes>, 2> taken{};
  for (std::size_t k = 0; k < kTimes; ++k) {
    taken[0][k] = milliseconds_of(folder / "file", bytes, Durability::flushed);
    taken[1][k] = milliseconds_of(folder / "file", bytes, Durability::read_back);
  }
  for (auto& times : taken) std::sort(times.begin(), times.end());
  for (std::size_t i = 0; i < 2; ++i)
    std::printf("%zu bytes, read back: %s: %.0f ms (%.0f to %.0f)\n", kBytes, i == 0 ? "no" : "yes",
                taken[i][kTimes / 2], taken[i].front(), taken[i].back());
  EXPECT_EQ(read_file(folder / "file"), bytes);
}

}  // namespace
}  // namespace resnet
