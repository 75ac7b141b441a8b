// Storages and tensors of a pickle, checked: nothing reaches beyond its storage.
#pragma once

#include <string>
#include <vector>

#include "io/pth/pickle.h"

namespace resnet::io {

/// Throws FormatError: "its pickle " and what it does.
[[noreturn]] void refuse_pickle(const std::string& what);

/// Of a persistent id: ('storage', type, key, device, elements).
PickledStorage storage_of(const Pickle& pickle, const PickleValue& id);

/// Of the arguments (storage, offset, sizes, strides, requires_grad, hooks[, metadata]).
PickledTensor tensor_of(const Pickle& pickle, const std::vector<PickleValue>& arguments);

}  // namespace resnet::io
