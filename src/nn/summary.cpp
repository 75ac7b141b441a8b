#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <typeinfo>

#include "graph/names.h"
#include "nn/build.h"
#include "resnet/nn.h"

namespace resnet::nn {
namespace {

double flops_of(const graph::Graph& graph, const graph::Node& node) {
  return ops::operation(node).cost(ops::OperandTypes(node, graph).signature()).flops;
}

// The class of what made a node: of the module at its path, or the operation's, as PyTorch calls it.
std::string kind_of(const graph::Node& node, const std::map<std::string, const Module*>& modules) {
  const auto found = modules.find(node.name);
  if (found != modules.end()) return found->second->kind();
  static const std::map<std::string_view, const char*> kFree = {
      // what is called without being a module
      {"relu", "ReLU"},     {"sigmoid", "Sigmoid"},
      {"silu", "SiLU"},     {"gelu", "GELU"},
      {"add", "Add"},       {"mul", "Mul"},
      {"concat", "Concat"}, {"global_avg_pool", "AdaptiveAvgPool2d"}};
  if (const auto free = kFree.find(node.op->name()); free != kFree.end()) return free->second;
  const std::size_t dot = node.name.rfind('.');
  return dot == std::string::npos ? node.name : node.name.substr(dot + 1);
}

void collect(const Module& module, const std::string& path, std::map<std::string, const Module*>& modules) {
  modules.emplace(path.empty() ? module.kind() : path, &module);
  for (const Module::Child& child : module.children())
    collect(*child.module, join(path, child.name), modules);
}

std::vector<SummaryRow> layers_of(const graph::Graph& graph, const Module& module) {
  std::map<std::string, const Module*> modules;
  collect(module, "", modules);
  std::vector<SummaryRow> rows;
  for (const graph::Node& node : graph.nodes()) {
    SummaryRow row{node.name, kind_of(node, modules), graph.value(node.outputs[0]).type.shape, 0,
                   flops_of(graph, node)};
    const auto found = modules.find(node.name);
    const bool used_before = std::any_of(rows.begin(), rows.end(),
                                         [&](const SummaryRow& other) { return other.name == node.name; });
    if (found != modules.end() && !used_before) row.parameters = parameter_count(*found->second);
    rows.push_back(std::move(row));
  }
  return rows;
}

// 11178378 -> "11,178,378".
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (auto place = static_cast<std::ptrdiff_t>(digits.size()) - 3; place > 0; place -= 3) {
    digits.insert(static_cast<std::size_t>(place), ",");
  }
  return digits;
}

bool within(const std::string& name, const std::string& path) {
  return name == path || name.starts_with(path + ".");
}

// A child of a module that calls its children itself: what the nodes under its name make.
void add_child(const graph::Graph& graph, const Module::Child& child, std::vector<SummaryRow>& rows) {
  SummaryRow row{child.name, child.module->kind(), {}, parameter_count(*child.module), 0};
  bool called = false;
  for (const graph::Node& node : graph.nodes()) {
    if (!within(node.name, child.name)) continue;
    called = true;
    row.output = graph.value(node.outputs[0]).type.shape;
    row.flops += flops_of(graph, node);
  }
  if (called) rows.push_back(std::move(row));
}

// Whether its children are its stages: a Sequential of nothing but Sequentials.
bool holds_stages(const Module& module) {
  const auto& children = module.children();
  return typeid(module) == typeid(Sequential) && !children.empty() &&
         std::all_of(children.begin(), children.end(), [](const Module::Child& child) {
           const Module& inner = *child.module;
           return typeid(inner) == typeid(Sequential);
         });
}

// Calls the stages of `module` one by one, so that whatever a stage makes is its own, wherever its name lies.
Value call_stages(const Module& module, const std::string& path, Value x, std::vector<SummaryRow>& rows) {
  const graph::Graph& graph = x.builder().graph;
  for (const Module::Child& child : module.children()) {
    const std::string name = join(path, child.name);
    if (holds_stages(*child.module)) {
      x = call_stages(*child.module, name, x, rows);
      continue;
    }
    const std::size_t first = graph.nodes().size();
    x = (*child.module)(x);
    SummaryRow row{name, child.module->kind(), x.shape(), parameter_count(*child.module), 0};
    for (std::size_t i = first; i < graph.nodes().size(); ++i) row.flops += flops_of(graph, graph.nodes()[i]);
    rows.push_back(std::move(row));
  }
  return x;
}

}  // namespace

Summary summary(const Module& module, const Shape& images) {
  graph::Builder builder = builder_of(module, Mode::eval);
  const graph::Graph& graph = builder.graph;
  Value x(builder, builder.graph.add_input(graph::kImages, {images, DType::f32}));
  Summary summary;
  if (typeid(module) == typeid(Sequential)) {
    call_stages(module, "", x, summary.stages);
  } else {
    x = module(x);
    for (const Module::Child& child : module.children()) add_child(graph, child, summary.stages);
  }
  summary.layers = layers_of(graph, module);
  summary.parameters = parameter_count(module);
  for (const SummaryRow& row : summary.layers) summary.flops += row.flops;
  return summary;
}

std::ostream& operator<<(std::ostream& out, const Summary& summary) {
  for (const SummaryRow& row : summary.stages) {
    std::string shape = to_string(row.output);
    for (std::size_t comma = shape.find(','); comma != std::string::npos;
         comma = shape.find(',', comma + 2)) {
      shape.insert(comma + 1, " ");
    }
    out << row.kind << " output shape:\t" << shape << '\n';
  }
  return out << fmt::format("{} parameters, {:.3f} GFLOPs forward (a multiply-add counts two)\n",
                            grouped(summary.parameters), summary.flops / 1e9);
}

}  // namespace resnet::nn
