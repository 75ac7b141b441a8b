// What a folder of pictures holds.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <set>

#include "base/machine.h"
#include "base/text.h"
#include "base/threads.h"
#include "data/folder.h"
#include "data/listing.h"
#include "data/scan_cache.h"
#include "resnet/folder.h"
#include "resnet/images.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;
using Facts = Dataset::Source::Facts;

// A file as it was found to be: `facts`, or what is wrong with it.
struct Seen {
  std::optional<Facts> facts;
  std::string why;
};

Seen look_at(const fs::path& path) {
  Seen seen;
  try {
    const Image image = images::read(path);
    seen.facts = {image.height, image.width, picture_sha256(image)};
  } catch (const Error& error) {
    seen.why = error.what();
    // The path is said beside it: "cannot read PATH: why", "PATH: why", "PATH is larger than".
    if (const std::size_t at = seen.why.find(path.string()); at != std::string::npos)
      seen.why.erase(0, seen.why.find_first_not_of(": ", at + path.string().size()));
  }
  return seen;
}

// Looks at files in threads, each as a whole in one of them, while the caller's thread tells how far it is.
class Looking {
 public:
  Looking(const fs::path& dir, const std::vector<ListedFile>& files, std::vector<std::size_t> todo,
          std::vector<Seen>& seen)
      : dir_(dir), files_(files), todo_(std::move(todo)), seen_(seen) {}
  ~Looking() {
    next_ = todo_.size();
    threads_.join();
  }

  void run(int threads, const std::function<void(std::int64_t, std::int64_t)>& tell) {
    const auto all = static_cast<std::int64_t>(files_.size());
    const auto known = static_cast<std::int64_t>(files_.size() - todo_.size());
    if (threads < 1) threads = default_threads();
    threads_.start(std::min(threads, static_cast<int>(std::min<std::size_t>(todo_.size(), 1024))),
                   [this](int) { work(); });
    std::unique_lock lock(mutex_);
    while (done_ < todo_.size()) {
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      const auto done = static_cast<std::int64_t>(done_);
      lock.unlock();
      if (tell) tell(known + done, all);
      lock.lock();
    }
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    if (tell) tell(all, all);
  }

 private:
  void work() {
    while (true) {
      const std::size_t number = next_++;
      if (number >= todo_.size()) return;
      const std::size_t i = todo_[number];
      std::exception_ptr failure;
      try {
        seen_[i] = look_at(dir_ / files_[i].path);
      } catch (...) {  // too little memory is no damage to a picture
        failure = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      if (failure != nullptr) failure_ = failure;
      if (++done_ == todo_.size()) changed_.notify_all();
    }
  }

  const fs::path& dir_;
  const std::vector<ListedFile>& files_;
  const std::vector<std::size_t> todo_;
  std::vector<Seen>& seen_;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t done_ = 0;
  std::exception_ptr failure_;  // the last one
  Threads threads_;
};

std::vector<std::string> parts_of(const fs::path& path) {
  std::vector<std::string> parts;
  for (const fs::path& part : path) parts.push_back(part.string());
  return parts;
}

// Whether the folders with pictures are parts and not classes: train/ beside val/ or test/, or nothing but
// such.
bool is_split(const std::vector<ListedFile>& files) {
  std::set<Part> found;
  for (const ListedFile& file : files) {
    if (const auto names = parts_of(file.path); names.size() > 1) found.insert(part_called(names.front()));
  }
  return !found.empty() && (!found.contains(Part::none) || (found.contains(Part::train) && found.size() > 2));
}

// Where a file or folder stands: in which part, and in which class ("" beside them all).
std::pair<Part, std::string> place_of(const std::vector<std::string>& names, bool split, bool folder) {
  const std::size_t at = split ? 1 : 0;  // of the class
  const Part part = split ? part_called(names.front()) : Part::none;
  if (names.size() < at + (folder ? 1 : 2) || (split && part == Part::none)) return {part, ""};
  return {part, names[at]};
}

// Classes, and the folders in a class's place that are none.
void find_classes(FolderScan& scan, const Listing& listing, std::vector<std::string>& names, bool split) {
  std::set<std::string> known;
  std::set<std::pair<Part, std::string>> filled;
  for (std::size_t i = 0; i < names.size(); ++i) {
    known.insert(names[i]);
    filled.emplace(scan.pictures[i].part, names[i]);
  }
  scan.classes.assign(known.begin(), known.end());
  check_classes(scan.dir.string(), scan.classes, "rename the folder: names are UTF-8, of at most 256 bytes");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto found = std::lower_bound(scan.classes.begin(), scan.classes.end(), names[i]);
    scan.pictures[i].label = static_cast<std::int32_t>(found - scan.classes.begin());
  }
  for (const fs::path& folder : listing.folders) {
    const std::vector<std::string> parts = parts_of(folder);
    if (parts.size() != (split ? 2U : 1U)) continue;
    const auto place = place_of(parts, split, true);
    if (!place.second.empty() && !filled.contains(place)) scan.empty.push_back(folder.string());
  }
}

// A picture of which the resize would make too much, such as a strip of 1x1000 pixels, is no use.
void refuse_strips(std::vector<Seen>& seen, const Resize& resize) {
  const Preprocessing preprocessing{.resize = resize, .channels = 3};
  static_cast<void>(preprocessed_shape(preprocessing, 1, 1));  // a fault of the resize is no picture's
  for (Seen& one : seen) {
    if (!one.facts) continue;
    try {
      static_cast<void>(preprocessed_shape(preprocessing, one.facts->height, one.facts->width));
    } catch (const ShapeError& error) {
      one.facts.reset();
      one.why = error.what();
    }
  }
}

}  // namespace

Part part_called(const std::string& name) {
  const std::string small = lower_case(name);  // also Training/ and Testing/
  if (small == "train" || small == "training") return Part::train;
  if (small == "val" || small == "valid" || small == "validation") return Part::val;
  return small == "test" || small == "testing" ? Part::test : Part::none;
}

bool FolderScan::has(Part part) const {
  return std::any_of(pictures.begin(), pictures.end(), [part](const Picture& p) { return p.part == part; });
}

FolderScan scan_folder(const fs::path& dir, const DatasetOptions& options) {
  Listing listing = list_folder(dir);
  const ScanCache cache(dir);
  std::vector<Seen> seen(listing.files.size());
  std::vector<std::size_t> todo;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (const Facts* facts = cache.find(listing.files[i])) {
      seen[i].facts = *facts;
    } else {
      todo.push_back(i);
    }
  }
  if (!todo.empty()) {
    Looking(dir, listing.files, std::move(todo), seen).run(options.scan_threads, options.scanning);
    std::vector<ScanCache::Entry> entries;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      entries.push_back({&listing.files[i], seen[i].facts ? &*seen[i].facts : nullptr});
    }
    cache.write(entries);
  }

  refuse_strips(seen, options.resize);

  FolderScan scan;
  scan.dir = dir;
  scan.bad = std::move(listing.bad);
  scan.others = std::move(listing.others);
  scan.links = listing.links;
  const bool split = is_split(listing.files);
  std::vector<std::string> names;  // of the pictures' classes
  for (std::size_t i = 0; i < seen.size(); ++i) {
    fs::path& path = listing.files[i].path;
    const auto [part, name] = place_of(parts_of(path), split, false);
    if (name.empty()) {
      ++scan.loose;  // broken or not
    } else if (!seen[i].facts) {
      scan.bad.push_back({std::move(path), std::move(seen[i].why)});
    } else {
      scan.pictures.push_back({std::move(path), 0, part, std::move(*seen[i].facts)});
      names.push_back(name);
    }
  }
  std::sort(scan.bad.begin(), scan.bad.end(),
            [](const BadFile& a, const BadFile& b) { return a.path.native() < b.path.native(); });
  find_classes(scan, listing, names, split);
  return scan;
}

}  // namespace resnet::data
