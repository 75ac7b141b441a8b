// A run as it writes: two files that grow and are flushed by nobody, curves that are replaced, numbered
// checkpoints of which the last two are kept. The figures of docs/reliability.md.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <string>

#include "base/files.h"
#include "support/simulated_disk.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(test::kDisk) / "runs" / "a";
constexpr int kCheckpoints = 15;

std::string text(int version) {
  return std::string(static_cast<std::size_t>(2500 + 10 * version), static_cast<char>('a' + version));
}

fs::path checkpoint(int version) {
  return kFolder / ("step-" + std::to_string(version));
}

TEST(PowerLossOfARun, LosesNoCheckpointThatWasReported) {
  const test::PowerLossResult result = test::for_each_power_loss(
      [](test::SimulatedDisk& disk) {
        make_directories(kFolder);
        make_new_file(kFolder / "metrics.csv");
        make_new_file(kFolder / "log");
        AppendedFile metrics(kFolder / "metrics.csv"), lines(kFolder / "log");
        for (int version = 0; version < kCheckpoints; ++version) {
          for (AppendedFile* file : {&metrics, &lines}) file->append(std::string(500, '0') + "\n");
          const std::string bytes = text(version);
          const std::array<std::span<const std::byte>, 1> parts = {std::as_bytes(std::span(bytes))};
          write_file(checkpoint(version), parts, Durability::read_back);
          disk.report();
          remove_file(checkpoint(version - 2));
          write_file(kFolder / "curves.svg", text(version));
        }
      },
      [](int reported) -> std::string {
        int newest = -1;
        for (int version = 0; version < kCheckpoints; ++version) {
          if (!is_there(checkpoint(version))) continue;
          if (read_text(checkpoint(version)) != text(version)) return "half of " + std::to_string(version);
          newest = version;
        }
        if (newest + 1 < reported) return "the newest is " + std::to_string(newest);
        if (!is_there(kFolder / "curves.svg")) return reported < 2 ? "" : "no curves";
        const std::string curves = read_text(kFolder / "curves.svg");
        return curves == text(curves.empty() ? 0 : curves[0] - 'a') ? "" : "half of the curves";
      },
      2000);
  std::printf("%zu operations, %zu states, %zu lost\n", result.operations, result.states, result.lost);
  EXPECT_EQ(result.lost, 0U) << result.first;
  EXPECT_GE(result.states, 20'000U);
}

}  // namespace
}  // namespace resnet
