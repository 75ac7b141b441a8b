// A model file made of choices: a random network, as the text form writes it, and changes to that text, to
// its tensors and to its bytes. Most are well formed or nearly so.
#pragma once

#include <filesystem>

#include "choices.h"

namespace resnet::fuzz {

void write_random_model(Choices& choices, const std::filesystem::path& path);

}  // namespace resnet::fuzz
