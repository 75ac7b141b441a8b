// Where a data set's files are.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "resnet/data.h"

namespace resnet::data {

/// $RESNET_DATA_DIR; empty if it is not set.
std::filesystem::path folder_of_environment();

/// The folder of a data set: the option, else $RESNET_DATA_DIR, else `otherwise`. Throws IoError if
/// there is none.
std::filesystem::path data_folder(const DatasetOptions& options, std::string_view title,
                                  const std::filesystem::path& otherwise = {});

/// "0", "1", … for classes without names.
std::vector<std::string> numbered_classes(std::size_t count);

}  // namespace resnet::data
