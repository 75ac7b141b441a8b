#include "engine/gpu_target.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "engine/gpu.h"
#include "engine/native_state.h"
#include "engine/training_plans.h"

namespace resnet::engine {
namespace {

std::string libraries_of(const gpu::Device& device) {
  const resnet_device_facts& facts = device.facts();
  std::string text;
  if (facts.runtime != 0)
    text = fmt::format("CUDA {}, driver for CUDA {}", gpu::cuda_version(facts.runtime),
                       gpu::cuda_version(facts.driver));
  const std::string library = device.library_text();
  return text + (text.empty() || library.empty() ? "" : ", ") + library;
}

std::string note_of(const gpu::Device& device) {
  if (const std::string note = device.note(); !note.empty() || device.missing_library().empty()) return note;
  return device.missing_library() +
         ": own kernels compute all convolutions; RESNET_CUDNN_DIR names the folder of cuDNN's libraries";
}

}  // namespace

gpu::Target target_of(const EngineOptions& options, gpu::Cudnn cudnn) {
  const char* const by = std::getenv("RESNET_CUDA_3X3");  // to compare the two
  const bool own_3x3 = by == nullptr || std::string_view(by) != "cudnn";
  return gpu::Target(options.precision == Precision::tf32 ? gpu::Products::tf32 : gpu::Products::f32,
                     std::move(cudnn), own_3x3);
}

gpu::Cudnn cudnn_of(gpu::Device& device, const EngineOptions& options) {
  if (options.precision == Precision::f32 || !device.has_library()) return {};
  return {device.facts().architecture,
          [&device](const resnet_convolution& what, std::int64_t workspace_bytes) {
            return device.prepare(what, workspace_bytes);
          }};
}

std::string gpu_plan_text(Network network, const EngineOptions& options, const Shape& images, Mode mode,
                          gpu::Cudnn cudnn) {
  const NativeState state(network, options, 1);  // its places
  const graph::Graph graph = mode == Mode::train
                                 ? step_graph(network, options, images, compiler::StepKind::update, false)
                                 : answer_graph(network, images);
  return plan::to_string(compiled_plan(graph, target_of(options, std::move(cudnn)), state.layout(), options));
}

DeviceInfo gpu_device(const gpu::Device& device, const ThreadCount& threads) {
  const resnet_device_facts& facts = device.facts();
  return {.kind = device.name(),
          .name = facts.name,
          .target = facts.architecture == 0 ? "emulated" : fmt::format("sm_{}", facts.architecture),
          .threads = threads.count,
          .threads_from = threads.from,
          .libraries = libraries_of(device),
          .note = note_of(device)};
}

}  // namespace resnet::engine
