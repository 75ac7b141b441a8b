// What is known of pictures that were decoded before.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "data/listing.h"
#include "resnet/data.h"

namespace resnet::data {

/// The facts of a folder's pictures by name, size and time, in a file of the user's cache; where that is
/// missing, damaged or of another version, also of a decoder, nothing is known. It may be deleted at any
/// time.
class ScanCache {
 public:
  /// Reads what there is.
  explicit ScanCache(const std::filesystem::path& dir);

  const Dataset::Source::Facts* find(const ListedFile& file) const;
  /// Replaces the file by what is known of these, if it can be written; `facts` may be null.
  struct Entry {
    const ListedFile* file;
    const Dataset::Source::Facts* facts;
  };
  void write(const std::vector<Entry>& entries) const noexcept;

  const std::filesystem::path& path() const noexcept { return path_; }  ///< empty: there is no place for it

 private:
  struct Known {
    std::int64_t size, time;
    Dataset::Source::Facts facts;
  };
  void read();

  std::filesystem::path path_;
  std::map<std::string, Known> known_;  // by path below the folder
};

/// $XDG_CACHE_HOME/resnet, or ~/.cache/resnet; empty where neither is known.
std::filesystem::path cache_folder();

}  // namespace resnet::data
