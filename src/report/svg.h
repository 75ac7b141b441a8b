// What SVG pictures share.
#pragma once

#include <string>

namespace resnet::report {

/// A coordinate: two digits after the point at most, without noughts at the end. What lies far outside is put
/// nearer.
std::string pixel(double value);

}  // namespace resnet::report
