// Small data sets and an engine whose answers are known, for the trainer's tests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "resnet/train.h"

namespace resnet::test {

/// Gray images of 4x4; image i is of the brightness `levels[i]` and has the label `labels[i]`.
class LevelSource final : public data::Dataset::Source {
 public:
  LevelSource(std::vector<std::uint8_t> levels, std::vector<std::int32_t> labels)
      : levels_(std::move(levels)), labels_(std::move(labels)) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(levels_.size()); }
  std::int32_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
  void image(std::int64_t i, data::Image& out) const override {
    out.height = out.width = 4;
    out.channels = 1;
    out.pixels.assign(16, levels_.at(static_cast<std::size_t>(i)));
  }

 private:
  std::vector<std::uint8_t> levels_;
  std::vector<std::int32_t> labels_;
};

inline data::Dataset levels_of(std::vector<std::uint8_t> levels, std::vector<std::int32_t> labels,
                               std::size_t classes) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < classes; ++i) names.push_back(std::to_string(i));
  return {std::make_shared<LevelSource>(std::move(levels), std::move(labels)),
          "levels",
          std::move(names),
          {},
          Shape{1, 4, 4}};
}

/// `size` images; image i has the brightness i and the label i % 2.
inline data::Dataset counted(std::int64_t size) {
  std::vector<std::uint8_t> levels;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < size; ++i) {
    levels.push_back(static_cast<std::uint8_t>(i));
    labels.push_back(static_cast<std::int32_t>(i % 2));
  }
  return levels_of(std::move(levels), std::move(labels), 2);
}

/// A network with a bias, for images of 4x4 and two classes.
inline nn::Sequential tiny_network() {
  return nn::Sequential(nn::Flatten{}, nn::Linear{16, 2});
}

/// What a scripted engine was asked, kept beyond its life.
struct EngineLog {
  EngineOptions options;
  std::vector<std::vector<int>> batches;  // the brightness of each example of a step
  std::vector<float> rates;
  std::function<void(std::int64_t examples)> stepping = {}, inferring = {};  // told of each
};

/// Keeps a state, and computes nothing.
class IdleEngine : public Engine {
 public:
  explicit IdleEngine(State state) : state_(std::move(state)) {}

  StepResult step(const ImageView&, const Targets&, const StepInputs&) override { return {}; }
  StepResult gradients(const ImageView&, const Targets&, float) override { return {}; }
  void apply(const StepInputs&) override {}
  Tensor infer(const ImageView&) override { return {}; }
  State state(StateScope) const override { return state_; }
  void set_state(const State& state) override { state_ = state; }
  void swap_average() override { std::swap(state_, average_); }
  State gradient_values() const override { return {}; }
  std::vector<GradientSpan> gradient_spans() override { return {}; }
  DeviceInfo device() const override { return {}; }

 protected:
  void move_average(float share) {
    if (share == 1) average_ = state_;
    if (share == 0 || share == 1) return;
    for (std::size_t i = 0; i < state_.size(); ++i) {
      const std::span<float> average = average_.at(i).second.values(), now = state_[i].second.values();
      for (std::size_t k = 0; k < now.size(); ++k) average[k] += share * (now[k] - average[k]);
    }
  }

  State state_, average_;
};

/// Step i, from 1, has a mean loss of i and one correct example more than the one before, and puts i into the
/// first bias. It answers an image of brightness b with `logits[b]`.
class ScriptedEngine final : public IdleEngine {
 public:
  ScriptedEngine(Network network, std::shared_ptr<EngineLog> log, std::vector<std::vector<float>> logits = {})
      : IdleEngine(std::move(network.state)), log_(std::move(log)), logits_(std::move(logits)) {}

  StepResult step(const ImageView& images, const Targets&, const StepInputs& inputs) override {
    log_->batches.push_back(brightness(images));
    log_->rates.push_back(inputs.lr);
    const auto steps = static_cast<std::int64_t>(log_->batches.size());
    if (log_->stepping) log_->stepping(images.shape[0]);
    state_.back().second.values()[0] = static_cast<float>(steps);
    move_average(inputs.average_share);
    return {static_cast<double>(steps * images.shape[0]), steps};
  }
  StepResult gradients(const ImageView& images, const Targets&, float) override {
    if (log_->stepping) log_->stepping(images.shape[0]);
    return {};
  }
  void apply(const StepInputs& inputs) override { log_->rates.push_back(inputs.lr); }
  Tensor infer(const ImageView& images) override {
    const std::vector<int> levels = brightness(images);
    if (log_->inferring) log_->inferring(images.shape[0]);
    const std::size_t classes = logits_.empty() ? 2 : logits_[0].size();
    Tensor result(Shape{images.shape[0], static_cast<std::int64_t>(classes)});
    for (std::size_t n = 0; n < levels.size(); ++n) {
      for (std::size_t k = 0; k < classes; ++k)
        result.values()[n * classes + k] =
            logits_.empty() ? static_cast<float>(k == 0) : logits_.at(static_cast<std::size_t>(levels[n]))[k];
    }
    return result;
  }
  DeviceInfo device() const override {
    return {.kind = "abacus", .name = "beads", .target = "wood", .threads = 3};
  }

 private:
  static std::vector<int> brightness(const ImageView& images) {
    std::vector<int> result;
    for (std::int64_t n = 0; n < images.shape[0]; ++n)
      result.push_back(static_cast<int>(images.data[n * 16] * 255 + 0.5F));
    return result;
  }

  std::shared_ptr<EngineLog> log_;
  std::vector<std::vector<float>> logits_;  // by brightness; empty: class 0 for all
};

/// `correct` test examples for each call, in order; the first bias as in a scripted engine.
class Judged final : public IdleEngine {
 public:
  Judged(Network network, std::vector<int> correct)
      : IdleEngine(std::move(network.state)), correct_(std::move(correct)) {}
  StepResult step(const ImageView& images, const Targets&, const StepInputs&) override {
    state_.back().second.values()[0] += 1;
    return {static_cast<double>(images.shape[0]), 0};
  }
  Tensor infer(const ImageView& images) override {
    const int right = correct_.at(evaluations_++);
    Tensor result(Shape{images.shape[0], 2});
    for (std::int64_t n = 0; n < images.shape[0]; ++n)  // labels are 0 and 1 in turn
      result.view<float>()[n * 2 + (n < right ? n % 2 : 1 - n % 2)] = 1;
    return result;
  }

 private:
  std::vector<int> correct_;
  std::size_t evaluations_ = 0;
};

}  // namespace resnet::test
