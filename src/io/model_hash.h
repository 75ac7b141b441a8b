// One number for a whole set of weights.
#pragma once

#include <string>

#include "io/safetensors.h"

namespace resnet::io {

/// SHA-256, 64 lower-case digits, over all tensors in byte order of their names: name, NUL, dtype as
/// safetensors writes it ("F32"), NUL, shape ("[64,1,7,7]", a scalar "[]"), NUL, little-endian elements.
/// Independent of the order of `state` and of the file that holds it.
std::string weights_sha256(const NamedTensors& state);

/// SHA-256 over all that a checkpoint's file says, but the hash itself: texts in byte order of their keys
/// (key, NUL, text, NUL), then weights_sha256() of the tensors.
std::string checkpoint_hash(const NamedTensors& tensors, const Metadata& metadata);

}  // namespace resnet::io
