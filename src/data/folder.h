// Where a data set's files are.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "resnet/data.h"

namespace resnet::data {

/// $RESNET_DATA_DIR; empty if it is not set.
std::filesystem::path folder_of_environment();

/// The folder of a data set: the option, else $RESNET_DATA_DIR, else `otherwise`. Throws IoError if
/// there is none.
std::filesystem::path data_folder(const DatasetOptions& options, std::string_view title,
                                  const std::filesystem::path& otherwise = {});

/// The names of what is in a folder, in the order of their bytes, without those that begin with a dot;
/// nothing where it cannot be listed.
std::vector<std::filesystem::path> names_in(const std::filesystem::path& folder);

/// `folder` if it `has` the files that are looked for, or else the folder that has, at most three levels
/// down, as unpackers and other programs make them; `folder` where there is none. Of several it is the one whose
/// path below `folder` has `word` in it, whatever the case, if that is not empty; else IoError.
std::filesystem::path folder_with(const std::filesystem::path& folder,
                                  const std::function<bool(const std::filesystem::path&)>& has,
                                  std::string_view word = {});

/// For a message: "; it holds a, b, ...", "; it is empty" or "; there is no such folder".
std::string found_in(const std::filesystem::path& folder);

/// "0", "1", … for classes without names.
std::vector<std::string> numbered_classes(std::size_t count);

inline constexpr std::size_t kMostClasses = std::size_t{1} << 16U;      // that a model file holds,
inline constexpr JsonLimits kClassLimits = {.elements = kMostClasses};  // as a list of names

/// Throws FormatError, with `hint`, for names that a model file could not hold: more than kMostClasses or, as
/// JSON, than kClassLimits; or one that is not UTF-8 of at most 256 bytes. `where` is what they were found in.
void check_classes(const std::string& where, const std::vector<std::string>& names, const std::string& hint);

}  // namespace resnet::data
