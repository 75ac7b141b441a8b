// What tools/device_check.sh asks of a device, and how it is answered: rows of a Markdown table, one of the
// lines beginning with '|', and at last an object of JSON.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "bench/check.h"
#include "device/api.h"
#include "engine/gpu.h"
#include "resnet/engine.h"
#include "resnet/models.h"
#include "support/networks.h"

namespace resnet::device_check {

struct Asked {
  const resnet_device_api* api = nullptr;
  std::string model = "d2l_resnet18";
  Shape images{256, 1, 96, 96};
  std::int64_t classes = 10, steps = 5;
  bool small = false;  // two stages of one block and few channels, for the emulator
  std::vector<Precision> forms;
};

/// `quiet`: for a comparison with the oracle.
inline Network network_for(const Asked& asked, bool quiet = false) {
  models::ResNetOptions options{.in_channels = asked.images[1], .classes = asked.classes};
  if (asked.small) {
    options.blocks = {1, 1};
    options.channels = {8, 64};  // of which 3x3 convolutions have kernels of their own
    options.stem_channels = 8;
  }
  const nn::Sequential net = test::random_network(asked.model, options);
  Network network = network_of(net, asked.images);
  if (quiet) bench::quiet_branches(net, network);
  return network;
}

inline std::unique_ptr<PlannedEngine> engine_for(const Asked& asked, const Network& network,
                                                 Precision precision) {
  return engine::make_gpu_engine(network, {.precision = precision}, *asked.api, 0);
}

inline StepResult step(Engine& engine, const test::Examples& e) {
  return engine.step(e.images.view<float>(), e.labels.view<std::int32_t>(), {0.02F});
}

/// "d2l_resnet18 256x1x96x96".
inline std::string title(const Asked& asked) {
  return fmt::format("{}{} {}", asked.model, asked.small ? " (small)" : "", fmt::join(asked.images, "x"));
}

inline void row(const std::string& what, const std::string& figure, const std::string& beside = "") {
  fmt::print("| {} | {} | {} |\n", what, figure, beside);
}

/// The parts. Each gives its figures, or throws what is wrong.
Json machine(const Asked& asked);
Json peaks(const Asked& asked);
Json parity(const Asked& asked);
Json hashes(const Asked& asked);
Json layers(const Asked& asked);
Json profile(const Asked& asked);

}  // namespace resnet::device_check
