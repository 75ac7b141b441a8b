#include <algorithm>

#include "graph/names.h"
#include "nn/build.h"
#include "resnet/nn.h"

namespace resnet::nn {

void Module::add_parameter(std::string name, ParameterKind kind, const Shape& shape, std::int64_t fan_in) {
  parameters_.push_back({std::move(name), kind, shape, fan_in, {}, Tensor(), false});
}

void Module::check_child_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos) {
    throw ConfigError("a child cannot be called '" + name + "'", "give it a name without dots");
  }
  const bool taken =
      std::any_of(children_.begin(), children_.end(), [&](const Child& child) { return child.name == name; });
  if (taken) throw ConfigError("there are two children called '" + name + "'");
}

std::string Module::node_name(Value x) const {
  const auto found = x.builder().names.find(this);
  if (found == x.builder().names.end()) return beside(x, kind());
  return found->second.empty() ? kind() : found->second;
}

graph::ValueId Module::parameter_value(graph::Builder& builder, std::size_t index) const {
  const auto found = builder.names.find(this);
  if (found == builder.names.end()) {
    throw ConfigError("a " + kind() + " with parameters is called without being part of the network",
                      "make it a child with add() in the module that calls it");
  }
  if (index >= parameters_.size()) {
    throw ConfigError("a " + kind() + " has " + std::to_string(parameters_.size()) +
                          " parameters, and none " + std::to_string(index),
                      "add_parameter() first; they are counted from 0 in that order");
  }
  const Parameter& parameter = parameters_[index];
  const bool trained =
      parameter.kind != ParameterKind::running_mean && parameter.kind != ParameterKind::running_var;
  return builder.graph.add_state(trained ? graph::Role::parameter : graph::Role::buffer,
                                 join(found->second, parameter.name), {parameter.shape, DType::f32});
}

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

namespace {

template <class AnyModule, class Visit>
void walk(AnyModule& module, const std::string& path, const Visit& visit) {
  for (auto& parameter : module.parameters()) visit(join(path, parameter.name), parameter);
  for (const Module::Child& child : module.children()) {
    AnyModule& inner = *child.module;
    walk(inner, join(path, child.name), visit);
  }
}

void name_modules(const Module& module, const std::string& path, graph::Builder& builder) {
  builder.names[&module] = path;
  for (const Module::Child& child : module.children())
    name_modules(*child.module, join(path, child.name), builder);
}

}  // namespace

void for_each_parameter(Module& module, const std::function<void(const std::string&, Parameter&)>& visit) {
  walk(module, "", visit);
}

void for_each_parameter(const Module& module,
                        const std::function<void(const std::string&, const Parameter&)>& visit) {
  walk(module, "", visit);
}

std::int64_t parameter_count(const Module& module) {
  std::int64_t count = 0;
  for_each_parameter(module, [&](const std::string&, const Parameter& parameter) {
    if (parameter.kind <= ParameterKind::norm_bias) count += parameter.shape.elements();
  });
  return count;
}

graph::Builder builder_of(const Module& module, Mode mode) {
  graph::Builder builder;
  builder.mode = mode;
  name_modules(module, "", builder);
  return builder;
}

graph::Graph trace(const Module& module, const Shape& images, Mode mode) {
  graph::Builder builder = builder_of(module, mode);
  const Value x(builder, builder.graph.add_input(graph::kImages, {images, DType::f32}));
  const Value y = module(x);
  builder.graph.add_output(graph::kOutput, y.id());
  return std::move(builder.graph);
}

}  // namespace resnet::nn
