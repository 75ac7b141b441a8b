// Data sets in memory, and runs on the emulated device: ahead of their results on a set that the device
// holds, ahead on images that are copied, and step by step.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "data/byte_images.h"
#include "emulator/emulator.h"
#include "engine/gpu.h"
#include "gpu/tested_device.h"
#include "resnet/train.h"

namespace resnet::test {

/// Pictures of noise in three classes.
inline data::Dataset bytes_of(std::int64_t count, const Shape& stored,
                              const data::Preprocessing& preprocessing, std::uint64_t seed = 1) {
  const RandomStream stream(seed, "test/pictures");
  std::vector<std::uint8_t> pixels;
  for (std::int64_t i = 0; i < count * stored.elements(); ++i)
    pixels.push_back(static_cast<std::uint8_t>(stream.word(static_cast<std::uint64_t>(i))));
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(static_cast<std::int32_t>(i % 3));
  return {std::make_shared<data::ByteImages>(stored[1], stored[2], stored[0], std::move(pixels),
                                             std::move(labels)),
          "bytes",
          {"a", "b", "c"},
          preprocessing,
          data::preprocessed_shape(preprocessing, stored[1], stored[2])};
}

/// The same pictures as if they had to be decoded.
class Decoded final : public data::Dataset::Source {
 public:
  explicit Decoded(data::Dataset set) : set_(std::move(set)) {}
  std::int64_t size() const override { return set_.size(); }
  std::int32_t label(std::int64_t i) const override { return set_.label(i); }
  void image(std::int64_t i, data::Image& out) const override { set_.source().image(i, out); }

 private:
  data::Dataset set_;
};
inline data::Dataset decoded(const data::Dataset& set) {
  return {std::make_shared<Decoded>(set), set.name(), set.classes(), set.preprocessing(),
          set.example_shape()};
}

/// An engine that is never ahead of its results, with all else of another.
class StepByStep final : public Engine {
 public:
  explicit StepByStep(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
  StepResult step(const ImageView& images, const Targets& targets, const StepInputs& inputs) override {
    return engine_->step(images, targets, inputs);
  }
  StepResult gradients(const ImageView& images, const Targets& targets, float share) override {
    return engine_->gradients(images, targets, share);
  }
  void apply(const StepInputs& inputs) override { engine_->apply(inputs); }
  Tensor infer(const ImageView& images) override { return engine_->infer(images); }
  State state(StateScope scope) const override { return engine_->state(scope); }
  void set_state(const State& state) override { engine_->set_state(state); }
  State gradient_values() const override { return engine_->gradient_values(); }
  std::vector<GradientSpan> gradient_spans() override { return engine_->gradient_spans(); }
  bool finite() const override { return engine_->finite(); }
  std::optional<NonFinite> find_nonfinite(const ImageView& images, const Targets& targets,
                                          const StepInputs& inputs) override {
    return engine_->find_nonfinite(images, targets, inputs);
  }
  DeviceInfo device() const override { return engine_->device(); }

 private:
  std::unique_ptr<Engine> engine_;
};

/// On the emulated device, whose work is as late as can be.
inline std::unique_ptr<PlannedEngine> late_engine(Network network, const EngineOptions& options,
                                                  const resnet_device_api& api = tested_device()) {
  emulator::set_pace(emulator::Pace::late);
  auto engine = engine::make_gpu_engine(std::move(network), options, api, 0);
  emulator::set_pace(emulator::Pace::at_once);
  return engine;
}

}  // namespace resnet::test
