#include "data/folder.h"

#include <fmt/core.h>

#include <cstdlib>
#include <system_error>

#include "base/files.h"
#include "base/text.h"

namespace resnet::data {

namespace fs = std::filesystem;

std::filesystem::path folder_of_environment() {
  const char* variable = std::getenv("RESNET_DATA_DIR");
  return variable == nullptr ? "" : variable;
}

std::filesystem::path data_folder(const DatasetOptions& options, std::string_view title,
                                  const std::filesystem::path& otherwise) {
  if (!options.dir.empty()) return options.dir;
  if (std::filesystem::path folder = folder_of_environment(); !folder.empty()) return folder;
  if (otherwise.empty()) {
    throw IoError("the folder with the files of " + std::string(title) + " is not known",
                  "give it as DatasetOptions::dir, or set RESNET_DATA_DIR");
  }
  return otherwise;
}

std::vector<std::string> numbered_classes(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t k = 0; k < count; ++k) names.push_back(std::to_string(k));
  return names;
}

void check_classes(const std::string& where, const std::vector<std::string>& names, const std::string& hint) {
  constexpr std::size_t kMostBytes = 256, kShown = 60;  // of a name
  if (names.size() > kMostClasses)
    throw FormatError(
        fmt::format("{}: {} classes; a model file holds at most {}", where, names.size(), kMostClasses),
        "give it fewer");
  for (const std::string& name : names) {
    if (name.size() > kMostBytes || !is_utf8(name))
      throw FormatError(fmt::format("{}: '{}' is no class name", where, shown(name, kShown)), hint);
  }
  try {
    static_cast<void>(parse_json(Json(names).dump(), kClassLimits));
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: the names of {} classes are more than a model file holds ({})", where,
                                  names.size(), error.what()),
                      "give fewer classes, or shorter names");
  }
}

std::vector<fs::path> names_in(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> names = list_names(folder, ignored);
  std::erase_if(names, [](const fs::path& name) { return name.native().starts_with('.'); });
  return names;
}

fs::path folder_with(const fs::path& folder, const std::function<bool(const fs::path&)>& has,
                     std::string_view word) {
  if (has(folder)) return folder;
  constexpr int kMostLevels = 3;              // X/MNIST/raw in X's parent
  constexpr std::size_t kMostFolders = 1000;  // that are looked into
  std::vector<fs::path> found;
  std::vector<fs::path> level = {folder};
  std::size_t seen = 0;
  for (int depth = 0; depth < kMostLevels && found.empty(); ++depth) {
    std::vector<fs::path> next;
    for (const fs::path& place : level) {
      for (const fs::path& name : names_in(place)) {
        if (!is_folder(place / name) || ++seen > kMostFolders) continue;
        next.push_back(place / name);
        if (has(next.back())) found.push_back(next.back());
      }
    }
    level = std::move(next);
  }
  if (found.size() > 1 && !word.empty()) {
    std::vector<fs::path> meant = found;
    std::erase_if(meant, [&](const fs::path& path) {
      return lower_case(path.string().substr(folder.string().size())).find(word) == std::string::npos;
    });
    if (meant.size() == 1) return meant.front();
  }
  if (found.size() < 2) return found.empty() ? folder : found.front();
  throw IoError(folder.string() + " has several such data sets: " + found[0].string() + ", " +
                    found[1].string() + (found.size() > 2 ? ", ..." : ""),
                "give the folder of one of them");
}

std::string found_in(const fs::path& folder) {
  if (!is_folder(folder)) return "; there is no such folder";
  std::string names;
  constexpr std::size_t kMostBytes = 100;
  for (const fs::path& name : names_in(folder)) {
    const std::string next = (names.empty() ? "" : ", ") + shown(name.string(), 40);
    if (names.size() + next.size() > kMostBytes) {
      names += ", ...";
      break;
    }
    names += next;
  }
  return names.empty() ? "; the folder is empty" : "; it holds " + names;
}

}  // namespace resnet::data
