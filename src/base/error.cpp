#include "resnet/error.h"

#include "base/text.h"

namespace resnet {
namespace {

constexpr std::size_t kMostOfLine = 280;  // a line of the program has 300, with its "resnet: "

}  // namespace

Error::Error(const std::string& what, const std::string& hint, const char* otherwise)
    : std::runtime_error(shown(what, kMostOfLine)),
      hint_(hint.empty() ? otherwise : shown(hint, kMostOfLine)) {}

}  // namespace resnet
