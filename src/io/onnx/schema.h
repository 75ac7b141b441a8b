// ONNX's messages, generated from its schema at build time (cmake/onnx.cmake).
#pragma once

#include <onnx_schema.pb.h>

namespace resnet::io::onnx {

namespace schema = ::resnet_onnx;

}  // namespace resnet::io::onnx
