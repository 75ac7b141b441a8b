// Plans of the zoo, and golden files of them: a change of a compiler that changes them shows there.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "compiler/compile.h"
#include "compiler/training.h"
#include "resnet/models.h"
#include "support/paths.h"

namespace resnet::test {

struct PlanCase {
  const char* model;
  Shape images;
};

/// The plan of a training step (train) or of an answer (eval).
inline plan::Plan plan_of(const PlanCase& c, Mode mode, const compiler::Target& target, DType activations) {
  const nn::Sequential net = models::make(c.model, {.in_channels = c.images[1], .classes = 10});
  graph::Graph graph = nn::trace(net, c.images, mode);
  if (mode == Mode::train) graph = compiler::training_step(std::move(graph), compiler::StepKind::update);
  plan::StateLayout layout;
  for (const graph::ValueInfo& value : graph.values()) {
    const bool state = value.role == graph::Role::parameter || value.role == graph::Role::buffer;
    if (state) layout.add(value.name, value.type.shape);
  }
  return compiler::compile(graph, target, layout, {.activations = activations});
}

/// Writes the text into the working directory where it is not that of the golden file `name`.
inline void expect_golden_plans(const std::string& text, const std::string& name) {
  const std::filesystem::path golden = golden_folder() / name;
  std::stringstream expected;
  expected << std::ifstream(golden).rdbuf();
  if (text == expected.str()) return;
  std::ofstream(name) << text;
  ADD_FAILURE() << "the plans have changed: compare " << std::filesystem::absolute(name) << " with " << golden
                << ", and put it there if it is what you want";
}

}  // namespace resnet::test
