// What SVG pictures share.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace resnet::report {

/// A coordinate: two digits after the point at most, without noughts at the end. What lies far outside is put
/// nearer.
std::string pixel(double value);

/// `bytes` in base64 (RFC 4648).
std::string base64(std::span<const std::uint8_t> bytes);

}  // namespace resnet::report
