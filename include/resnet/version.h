// The version of this library and its program.
#pragma once

namespace resnet {

inline constexpr const char* kVersion = "0.1.0";  // MAJOR.MINOR.PATCH (docs/versioning.md)

}  // namespace resnet
