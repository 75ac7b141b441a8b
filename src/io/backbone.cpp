// A network's weights but for its head.
#include <fmt/core.h>

#include <map>

#include "io/safetensors.h"
#include "resnet/model_file.h"

namespace resnet {
namespace {

std::string owner_of(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}

// The path of the last linear layer.
std::string head_of(const nn::Module& net) {
  std::string head;
  nn::for_each_parameter(net, [&](const std::string& name, const nn::Parameter& parameter) {
    if (parameter.kind == nn::ParameterKind::weight && parameter.shape.rank() == 2) head = owner_of(name);
  });
  return head;
}

}  // namespace

bool load_backbone(nn::Module& net, const std::filesystem::path& path) {
  const io::Safetensors file = io::read_safetensors(path);
  std::map<std::string, const Tensor*> tensors;
  for (const auto& [name, tensor] : file.tensors) tensors[name] = &tensor;
  const std::string head = head_of(net), hint = "is it a file of this network?";
  State taken;
  bool own_head = false;
  nn::for_each_parameter(std::as_const(net), [&](const std::string& name, const nn::Parameter& parameter) {
    const bool count = parameter.kind == nn::ParameterKind::batches_tracked;
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      if (count) return;
      throw FormatError(fmt::format("{}: it has no '{}'", path.string(), name), hint);
    }
    const Tensor& tensor = *found->second;
    if (tensor.shape() == parameter.shape && tensor.dtype() == (count ? DType::i64 : DType::f32)) {
      taken.emplace_back(name, tensor);
    } else if (owner_of(name) == head && tensor.dtype() == DType::f32) {
      own_head = true;
    } else {
      throw FormatError(
          fmt::format("{}: '{}' is {} {}, the network's is {} {}", path.string(), name,
                      io::safetensors_name(tensor.dtype()), to_string(tensor.shape()),
                      io::safetensors_name(count ? DType::i64 : DType::f32), to_string(parameter.shape)),
          hint);
    }
    tensors.erase(found);
  });
  if (!tensors.empty()) {
    throw FormatError(fmt::format("{}: the network has no '{}'", path.string(), tensors.begin()->first),
                      hint);
  }
  if (own_head) std::erase_if(taken, [&](const auto& value) { return owner_of(value.first) == head; });
  set_state(net, taken);
  return own_head;
}

}  // namespace resnet
