// The files below a folder of pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "resnet/folder.h"

namespace resnet::data {

/// A file that ought to be a picture.
struct ListedFile {
  std::filesystem::path path;  // below the folder
  std::int64_t size = 0;       // bytes
  std::int64_t time = 0;       // of its last change, nanoseconds
};

struct Listing {
  std::vector<ListedFile> files;               // by path
  std::vector<std::filesystem::path> folders;  // one or two levels down, by path
  std::vector<BadFile> bad;
  std::map<std::string, std::int64_t> others;
  std::int64_t links = 0;
};

/// What scan_folder() looks at. Throws IoError if `dir` itself cannot be listed.
Listing list_folder(const std::filesystem::path& dir);

}  // namespace resnet::data
