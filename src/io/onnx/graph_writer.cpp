#include "io/onnx/graph_writer.h"

#include <fmt/core.h>

namespace resnet::io::onnx {
namespace {

void set(schema::AttributeProto& proto, std::int64_t value) {
  proto.set_type(schema::AttributeProto::INT);
  proto.set_i(value);
}
void set(schema::AttributeProto& proto, float value) {
  proto.set_type(schema::AttributeProto::FLOAT);
  proto.set_f(value);
}
void set(schema::AttributeProto& proto, const std::vector<std::int64_t>& values) {
  proto.set_type(schema::AttributeProto::INTS);
  proto.mutable_ints()->Add(values.begin(), values.end());
}

}  // namespace

schema::TensorProto::DataType data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return schema::TensorProto::FLOAT;
    case DType::f64:
      return schema::TensorProto::DOUBLE;
    case DType::i32:
      return schema::TensorProto::INT32;
    case DType::i64:
      return schema::TensorProto::INT64;
    case DType::u8:
      return schema::TensorProto::UINT8;
    default:
      throw FormatError(fmt::format("no {} in ONNX files of this program", name_of(dtype)));
  }
}

std::string GraphWriter::add(const char* op, const std::string& wanted,
                             const std::vector<std::string>& inputs,
                             std::initializer_list<Attribute> attributes) {
  std::string name = unique(wanted);
  add_named(op, name, inputs, attributes);
  return name;
}

void GraphWriter::add_named(const char* op, const std::string& name, const std::vector<std::string>& inputs,
                            std::initializer_list<Attribute> attributes) {
  schema::NodeProto& node = *graph_->add_node();
  node.set_op_type(op);
  node.set_name(name);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(name);
  for (const Attribute& attribute : attributes) {
    schema::AttributeProto& proto = *node.add_attribute();
    proto.set_name(attribute.name);
    std::visit([&](const auto& value) { set(proto, value); }, attribute.value);
  }
}

std::string GraphWriter::constant(const std::string& wanted, const Tensor& value) {
  std::string name = unique(wanted);
  schema::TensorProto& tensor = *graph_->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(data_type(value.dtype()));
  for (const std::int64_t extent : value.shape()) tensor.add_dims(extent);
  tensor.set_raw_data(value.raw(), value.bytes());  // little-endian, as it lies
  return name;
}

}  // namespace resnet::io::onnx
