// The data sets that a person can name. A data set is one line of the table in sources.cpp: open(), the
// program's help, completion and manual follow from it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "resnet/data.h"

namespace resnet::data {

/// A line of the table. On the command line it is written `name`, or `name:DIR` where it takes a folder.
struct DataSource {
  std::string_view name;   // without a colon
  bool folder;             // written with the folder of its files
  std::string_view title;  // in messages
  std::string_view help;   // what it is, without a full stop
  Dataset (*open)(Split split, const DatasetOptions& options);

  std::string usage() const;       ///< "cifar10", "idx:DIR"
  std::string completion() const;  ///< how far a shell can complete it: "cifar10", "idx:"
};

/// All of them, in the order of the help; the first is the program's default.
std::span<const DataSource> data_sources() noexcept;
/// The line of the function that opens it, which must be in the table.
const DataSource& data_source(Dataset (*open)(Split, const DatasetOptions&));
/// A text that open() takes, with the name that a folder's path leaves out. Throws as open().
std::string full_name(const std::string& text);
/// Whether a data set of this full name is a folder of pictures.
bool is_folder_of_pictures(std::string_view full_name);
/// All usages in one phrase: "a, b or c:DIR".
std::string data_source_usages();

}  // namespace resnet::data
