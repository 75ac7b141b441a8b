#include "data/listing.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/file_system.h"
#include "base/files.h"
#include "base/text.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMostDepth = 64;   // folders within each other
constexpr int kMostVisits = 40;  // of one folder, by links: each level of links may double what is below it

// What systems leave in folders.
bool is_hidden(const std::string& name) {
  const std::string small = lower_case(name);
  return name.starts_with('.') || small == "thumbs.db" || small == "desktop.ini" || name == "__MACOSX";
}

bool ends_as(const fs::path& path, std::initializer_list<std::string_view> endings) {
  return std::ranges::find(endings, lower_case(path.extension().string())) != endings.end();
}

bool is_called_picture(const fs::path& path) {
  return ends_as(path,
                 {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".ppm", ".pgm", ".pnm"});
}

// Not opened to see whether it is one all the same: sets for detection have one for each picture.
bool is_called_text(const fs::path& path) {
  return ends_as(path, {".txt", ".xml", ".json", ".csv", ".yaml", ".yml"});
}

// The formats whose first bytes no text has.
bool begins_as_picture(const fs::path& path) {
  std::array<char, 12> bytes{};
  try {
    InputFile file(path);
    if (file.read(std::as_writable_bytes(std::span(bytes))) < bytes.size()) return false;
  } catch (const IoError&) {
    return false;
  }
  const std::string_view text(bytes.data(), bytes.size());
  return text.starts_with("\xff\xd8\xff") || text.starts_with("\x89PNG\r\n\x1a\n") ||
         (text.starts_with("RIFF") && text.substr(8) == "WEBP");
}

int look(const fs::path& path, struct stat& status) noexcept {
  return uninterrupted([&] { return file_system().stat(path.c_str(), &status); });
}

class Walk {
 public:
  Walk(const fs::path& dir, Listing& found) : dir_(dir), found_(found) {}

  void run() {
    struct stat at {};
    if (look(dir_, at) != 0) throw_root(errno);
    if (!S_ISDIR(at.st_mode)) throw IoError(dir_.string() + " is no folder");
    above_.emplace_back(at.st_dev, at.st_ino);
    if (const int error = enter({}, 0); error != 0) throw_root(error);
  }

 private:
  using FolderId = std::pair<dev_t, ino_t>;

  [[noreturn]] void throw_root(int error) const {
    throw IoError(dir_.string() + ": " + std::strerror(error), unexpanded(dir_));
  }

  // Gives the system's error where the folder cannot be listed.
  int enter(const fs::path& folder, int depth) {
    std::error_code error;
    const std::vector<fs::path> names = list_names(dir_ / folder, error);
    if (error) return error.value();
    for (const fs::path& name : names) {
      if (!is_hidden(name.native())) visit(folder / name, depth);
    }
    return 0;
  }

  void visit(const fs::path& path, int depth) {
    struct stat at {};
    if (look(dir_ / path, at) != 0) {
      const int error = errno;
      const bool link = kind_of_itself(dir_ / path) == PathKind::link;
      found_.bad.push_back(
          {path, link ? std::string("a link to nothing: ") + std::strerror(error) : std::strerror(error)});
    } else if (S_ISDIR(at.st_mode)) {
      visit_folder(path, depth, {at.st_dev, at.st_ino});
    } else if (!S_ISREG(at.st_mode)) {
      ++found_.others["(no file)"];
    } else if (is_called_picture(path) ||
               (at.st_size > 0 && !is_called_text(path) && begins_as_picture(dir_ / path))) {
      constexpr std::uint64_t kSecond = 1'000'000'000;  // nanoseconds; from 2262 on the count wraps around
      const std::uint64_t time = static_cast<std::uint64_t>(at.st_mtim.tv_sec) * kSecond +
                                 static_cast<std::uint64_t>(at.st_mtim.tv_nsec);
      found_.files.push_back({path, at.st_size, static_cast<std::int64_t>(time)});
    } else {
      ++found_.others[lower_case(path.extension().string())];
    }
  }

  void visit_folder(const fs::path& path, int depth, FolderId id) {
    if (std::find(above_.begin(), above_.end(), id) != above_.end()) {
      ++found_.links;
      return;
    }
    if (depth == kMostDepth) {
      found_.bad.push_back({path, "more than " + std::to_string(kMostDepth) + " folders within each other"});
      return;
    }
    if (++visits_[id] > kMostVisits) {
      found_.bad.push_back({path, "more than " + std::to_string(kMostVisits) + " ways lead to this folder"});
      return;
    }
    if (depth < 2) found_.folders.push_back(path);
    above_.push_back(id);
    if (const int error = enter(path, depth + 1); error != 0) {
      found_.bad.push_back({path, std::string("the folder cannot be listed: ") + std::strerror(error)});
    }
    above_.pop_back();
  }

  const fs::path& dir_;
  Listing& found_;
  std::vector<FolderId> above_;  // the folders around
  std::map<FolderId, int> visits_;
};

}  // namespace

Listing list_folder(const fs::path& dir) {
  Listing found;
  Walk(dir, found).run();
  std::sort(found.files.begin(), found.files.end(),
            [](const ListedFile& a, const ListedFile& b) { return a.path.native() < b.path.native(); });
  return found;
}

}  // namespace resnet::data
