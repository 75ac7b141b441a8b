#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "nn/build.h"
#include "resnet/nn.h"

namespace resnet::nn {
namespace {

bool within(const std::string& name, const std::string& path) {
  return name == path || (name.size() > path.size() && name.starts_with(path) && name[path.size()] == '.');
}

double flops_of(const graph::Graph& graph, const graph::Node& node) {
  std::vector<const graph::ValueType*> inputs;
  std::vector<graph::ValueType> outputs;
  for (const auto id : node.inputs) inputs.push_back(id == graph::kNone ? nullptr : &graph.value(id).type);
  for (const auto id : node.outputs) outputs.push_back(graph.value(id).type);
  return ops::operation(node).cost({node.attributes, inputs, outputs}).flops;
}

SummaryRow row_of(const graph::Graph& graph, const Module& module, const std::string& path,
                  const Shape& input) {
  SummaryRow row{path, module.kind(), input, parameter_count(module), 0};
  for (const graph::Node& node : graph.nodes()) {
    if (!within(node.name, path)) continue;
    row.output = graph.value(node.outputs[0]).type.shape;
    row.flops += flops_of(graph, node);
  }
  return row;
}

void add_layers(const graph::Graph& graph, const Module& module, const std::string& path, const Shape& input,
                std::vector<SummaryRow>& rows) {
  if (module.children().empty()) {
    rows.push_back(row_of(graph, module, path, rows.empty() ? input : rows.back().output));
  }
  for (const Module::Child& child : module.children()) {
    add_layers(graph, *child.module, join(path, child.name), input, rows);
  }
}

// 11178378 -> "11,178,378".
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (auto place = static_cast<std::ptrdiff_t>(digits.size()) - 3; place > 0; place -= 3) {
    digits.insert(static_cast<std::size_t>(place), ",");
  }
  return digits;
}

}  // namespace

Summary summarize(const Module& module, const Shape& images) {
  const graph::Graph graph = trace(module, images, Mode::eval);
  Summary summary;
  Shape shape = images;
  for (const Module::Child& child : module.children()) {
    summary.stages.push_back(row_of(graph, *child.module, child.name, shape));
    shape = summary.stages.back().output;
  }
  add_layers(graph, module, "", images, summary.layers);
  summary.parameters = parameter_count(module);
  for (const graph::Node& node : graph.nodes()) summary.flops += flops_of(graph, node);
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
