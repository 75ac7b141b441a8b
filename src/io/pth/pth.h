// PyTorch's .pth and .pt: the state dict in a zip archive with a pickle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace resnet::io {

struct PthFile {
  NamedTensors tensors;                         // in the dict's order
  std::map<std::string, std::int64_t> widened;  // how many tensors were stored as "float16", and are F32 here
  std::vector<std::string> notes;               // what was taken off and left out
};

/// Reads what torch.save() of PyTorch 1.6 and later wrote: a state dict, or a dict that holds one as
/// "state_dict", "model" or another of the names of docs/weights.md, beside other plain data. Nothing is
/// executed. What cannot be read is refused by name: FormatError, without a file's name. Memory: tensors of
/// at most four times the elements of the storages that the file holds, each of at most four times its bytes
/// there.
PthFile read_pth(std::span<const std::byte> bytes);

}  // namespace resnet::io
