#include "data/scan_cache.h"

#include <fmt/core.h>

#include <charconv>
#include <cstdlib>
#include <system_error>

#include "base/files.h"
#include "base/sha256.h"
#include "images/libraries.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

// Another version, or another decoder, decodes otherwise, or writes other lines.
const std::string& heading() {
  static const std::string kHeading = fmt::format("resnet pictures 1, {}\n", images::libraries());
  return kHeading;
}
constexpr std::size_t kDigits = 64;  // of a SHA-256

// The text up to `end`, which is taken away with it; false where there is no `end`.
bool take(std::string_view& text, char end, std::string_view& part) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return false;
  part = text.substr(0, at);
  text.remove_prefix(at + 1);
  return true;
}

bool take(std::string_view& text, std::int64_t& number) {
  std::string_view part;
  if (!take(text, ' ', part)) return false;
  const char* end = part.data() + part.size();
  return std::from_chars(part.data(), end, number) == std::from_chars_result{end, std::errc()};
}

}  // namespace

fs::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "resnet";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".cache" / "resnet" : fs::path();
}

ScanCache::ScanCache(const fs::path& dir) {
  std::error_code error;
  const fs::path whole = fs::canonical(dir, error);
  if (error || cache_folder().empty()) return;
  path_ = cache_folder() / ("pictures-" + sha256_of(whole.native()).substr(0, 32));
  try {
    read();
  } catch (const std::exception&) {
    known_.clear();
  }
}

// The heading, entries "size time height width digest path\0", and the SHA-256 of all that.
void ScanCache::read() {
  constexpr std::int64_t kMost = std::int64_t{1} << 32;
  if (!path_exists(path_)) return;
  const std::vector<std::byte> bytes = read_file(path_, kMost);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() < heading().size() + kDigits || !text.starts_with(heading())) return;
  const std::string_view sum = text.substr(text.size() - kDigits);
  text.remove_suffix(kDigits);
  if (sha256_of(text) != sum) return;
  text.remove_prefix(heading().size());
  while (!text.empty()) {
    Known known{};
    std::string_view digest;
    std::string_view path;
    if (!take(text, known.size) || !take(text, known.time) || !take(text, known.facts.height) ||
        !take(text, known.facts.width) || !take(text, ' ', digest) || !take(text, '\0', path)) {
      known_.clear();
      return;
    }
    known.facts.digest = digest;
    known_.emplace(path, std::move(known));
  }
}

const Dataset::Source::Facts* ScanCache::find(const ListedFile& file) const {
  const auto found = known_.find(file.path.native());
  if (found == known_.end() || found->second.size != file.size || found->second.time != file.time)
    return nullptr;
  return &found->second.facts;
}

void ScanCache::write(const std::vector<Entry>& entries) const noexcept {
  if (path_.empty()) return;
  try {
    std::string text = heading();
    for (const auto& [file, facts] : entries) {
      if (facts == nullptr) continue;
      text +=
          fmt::format("{} {} {} {} {} ", file->size, file->time, facts->height, facts->width, facts->digest);
      text += file->path.native();
      text += '\0';
    }
    text += sha256_of(text);
    make_directories(path_.parent_path());
    write_file(path_, text);
  } catch (const std::exception&) {  // a full disk costs the next scan some time, and nothing else
  }
}

}  // namespace resnet::data
