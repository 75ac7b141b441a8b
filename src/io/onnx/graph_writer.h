// Adds nodes and constants to an ONNX graph, with a name of its own for each value.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/onnx/schema.h"
#include "io/unique_names.h"
#include "resnet/tensor.h"

namespace resnet::io::onnx {

struct Attribute {
  const char* name;
  std::variant<std::int64_t, float, std::vector<std::int64_t>> value;
};

/// ONNX's number of a type. Throws FormatError for one that no file of ours has.
schema::TensorProto::DataType data_type(DType dtype);

class GraphWriter {
 public:
  explicit GraphWriter(schema::GraphProto& graph) : graph_(&graph) {}

  /// `wanted`, or with a number behind it where that is taken. Inputs, constants and nodes share their names.
  std::string unique(const std::string& wanted) { return names_.add(wanted); }
  /// A node with one output, which has the node's name; "" stands for an input that is left out.
  std::string add(const char* op, const std::string& wanted, const std::vector<std::string>& inputs,
                  std::initializer_list<Attribute> attributes = {});
  /// The same with a name that unique() gave.
  void add_named(const char* op, const std::string& name, const std::vector<std::string>& inputs,
                 std::initializer_list<Attribute> attributes = {});
  std::string constant(const std::string& wanted, const Tensor& value);

 private:
  schema::GraphProto* graph_;
  UniqueNames names_;
};

}  // namespace resnet::io::onnx
