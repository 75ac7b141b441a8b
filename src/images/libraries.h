// What computes beside our own code.
#pragma once

#include <string>

namespace resnet::images {

/// Compiler, C library and decoders of pictures, with their versions: "g++ 12.2.0, glibc 2.36, libjpeg ...".
/// Where one is another, last bits of a run or of a picture may be others.
std::string libraries();

}  // namespace resnet::images
