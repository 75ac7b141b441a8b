// Model files on a disk that fails, or loses its power.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <vector>

#include "base/files.h"
#include "resnet/export.h"
#include "resnet/model_file.h"
#include "support/faulty_files.h"
#include "support/networks.h"
#include "support/simulated_disk.h"

namespace resnet {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(test::kDisk) / "run";
const fs::path kFile = kFolder / "model.safetensors";

// The same network with other weights in each version.
ModelFile model_of(int version) {
  const nn::Sequential net =
      test::random_network("d2l_resnet18", {.in_channels = 1, .classes = 3, .blocks = {1}, .channels = {4}});
  ModelFile model{state_of(net), nn::trace(net, {1, 1, 16, 16}, Mode::eval), {}, {"a", "b", "c"}};
  model.preprocessing.channels = 1;
  for (auto& [name, tensor] : model.state) {
    if (tensor.dtype() != DType::f32) continue;
    for (float& value : tensor.values()) value += static_cast<float>(version);
  }
  return model;
}

std::vector<std::byte> bytes_of(const ModelFile& model) {
  const fs::path path = kFolder / "other";
  save_model(path, model);
  std::vector<std::byte> bytes = read_file(path);
  remove_file(path);
  return bytes;
}

TEST(ModelFileFaults, LeaveTheOldModelOrTheNewOne) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  make_directories(kFolder);
  const ModelFile old = model_of(0), next = model_of(1);
  const auto old_bytes = bytes_of(old), new_bytes = bytes_of(next);
  ASSERT_NE(old_bytes, new_bytes);
  const std::int64_t count = test::for_each_fault(
      [&] {
        std::error_code error;
        for (const fs::path& name : list_names(kFolder, error)) remove_file(kFolder / name);
        save_model(kFile, old);
      },
      [&] { save_model(kFile, next); },
      [&](const test::Tried& tried) {
        const auto now = read_file(kFile);
        EXPECT_TRUE(now == new_bytes || (!tried.done && now == old_bytes)) << tried;
        std::error_code error;
        const std::size_t most = tried.fault.lasts == test::Fault::every_call ? 2 : 1;
        EXPECT_LE(list_names(kFolder, error).size(), most) << tried;
      });
  EXPECT_GT(count, 100);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

TEST(ExportFaults, LeaveTheOldFileOrTheNewOne) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  make_directories(kFolder);
  const ModelFile old = model_of(0), next = model_of(1);
  const std::vector<std::function<void(const ModelFile&)>> writers = {
      [](const ModelFile& model) { export_onnx(kFile, model); },
      [](const ModelFile& model) { export_safetensors(kFile, model, WeightType::f16); }};
  std::int64_t count = 0;
  for (const auto& write : writers) {
    write(old);
    const auto old_bytes = read_file(kFile);
    write(next);
    const auto new_bytes = read_file(kFile);
    ASSERT_NE(old_bytes, new_bytes);
    count += test::for_each_fault(
        [&] {
          std::error_code error;
          for (const fs::path& name : list_names(kFolder, error)) remove_file(kFolder / name);
          write(old);
        },
        [&] { write(next); },
        [&](const test::Tried& tried) {
          const auto now = read_file(kFile);
          EXPECT_TRUE(now == new_bytes || (!tried.done && now == old_bytes)) << tried;
        });
  }
  EXPECT_GT(count, 200);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

TEST(ModelFileFaults, AreErrorsOfReading) {
  test::SimulatedDisk disk(file_system());
  const test::FilesReplaced replaced(disk);
  make_directories(kFolder);
  save_model(kFile, model_of(0));
  std::size_t tensors = 0;
  const std::int64_t count = test::for_each_fault(
      [] {}, [&] { tensors = 0, tensors = load_model(kFile, {.threads = 1}).graph().values().size(); },
      [&](const test::Tried& tried) { EXPECT_EQ(tensors > 0, tried.done) << tried; });
  EXPECT_GT(count, 20);
  std::printf("%ld calls have failed\n", static_cast<long>(count));
}

TEST(ModelFilePowerLoss, LeavesTheModelThatWasSaved) {
  const ModelFile first = model_of(0), second = model_of(1);
  const auto value = [](const ModelFile& model) { return model.state.front().second.values().front(); };
  const test::PowerLossResult result = test::for_each_power_loss(
      [&](test::SimulatedDisk& disk) {
        make_directories(kFolder);
        save_model(kFile, first);
        disk.report();
        save_model(kFile, second);
        disk.report();
      },
      [&](int reported) -> std::string {
        if (!is_there(kFile)) return reported == 0 ? "" : "it is gone";
        try {
          const float now = value(read_model(kFile));
          return now == value(second) || (reported < 2 && now == value(first)) ? "" : "the old one is there";
        } catch (const Error& error) {
          return error.what();
        }
      });
  EXPECT_EQ(result.lost, 0U) << result.first;
  EXPECT_GT(result.states, 50U);
  std::printf("%zu operations, %zu states, %zu lost\n", result.operations, result.states, result.lost);
}

}  // namespace
}  // namespace resnet
