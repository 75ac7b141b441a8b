// What the targets hold every answer to.
#pragma once

#include <fmt/core.h>

#include <map>
#include <string>
#include <string_view>

#include "resnet/error.h"
#include "support/simulated_disk.h"

namespace resnet::fuzz {

/// Says what was found, and ends the program by abort().
[[noreturn]] void found(const std::string& what);

inline void demand(bool fact, const char* what) {
  if (!fact) found(what);
}

/// What a message may be: one printable line of at most 300 bytes, which begins with `begin`.
void check_message(const Error& error, std::string_view begin);

/// Whether call() went well; else it threw one of Refusals, with a message that has `file` in it. Any other
/// exception ends the program.
template <class... Refusals, class Call>
bool accepted(std::string_view file, const Call& call) {
  try {
    call();
    return true;
  } catch (const Error& error) {
    if (!(... || (dynamic_cast<const Refusals*>(&error) != nullptr)))
      found(fmt::format("an error of another kind: {}", error.what()));
    check_message(error, "");
    if (std::string_view(error.what()).find(file) == std::string_view::npos)
      found(fmt::format("a message without the file's name: {}", error.what()));
    return false;
  }
}

/// The folder of a disk in memory, with files of these names and contents.
inline constexpr const char* kFolder = test::kDisk;
std::vector<test::SimulatedDisk::Node> disk_of(const std::map<std::string, std::string>& files);

/// call(), while kFolder has these files.
template <class Call>
auto with_files(const std::map<std::string, std::string>& files, const Call& call) {
  test::SimulatedDisk disk(file_system(), disk_of(files));
  const test::FilesReplaced replaced(disk);
  return call();
}

}  // namespace resnet::fuzz
