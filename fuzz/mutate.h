// Changes of an input, for both drivers.
#pragma once

#include <string>

#include "choices.h"
#include "target.h"

namespace resnet::fuzz {

inline constexpr std::size_t kMostBytes = std::size_t{1} << 15U;  // of an input

/// `text` with one of the target's words in it, or in the place of other bytes.
std::string with_word(std::string text, Choices& choices, const Target& target);

/// One of the target's seeds with up to eight changes.
std::string mutated(Choices& choices, const Target& target);

}  // namespace resnet::fuzz
