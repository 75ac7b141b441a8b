// Recipes: sets of settings by a name.
#pragma once

#include <string>
#include <vector>

#include "settings/settings.h"

namespace resnet::settings {

/// "chapter", "scratch", "finetune", "fast".
std::vector<std::string> recipe_names();
/// What a recipe sets, in full: an option that any recipe sets has its default where this one does not.
Given recipe(const std::string& name);

}  // namespace resnet::settings
