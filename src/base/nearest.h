// What a mistyped name was meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace resnet {

/// The nearest of `names` to a mistyped one by edit distance, the first of several, or "" if none is
/// so near (2 letters, or a third of them) that it is a likely typo.
std::string nearest(std::string_view mistyped, const std::vector<std::string>& names);

}  // namespace resnet
