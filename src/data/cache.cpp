#include "data/cache.h"

#include <fmt/core.h>
#include <zlib.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>
#include <set>
#include <system_error>

#include "base/files.h"
#include "base/machine.h"
#include "data/scan_cache.h"

namespace resnet::data {
namespace {

namespace fs = std::filesystem;

// What may still be kept, of the data sets that share it.
struct Budget {
  explicit Budget(std::int64_t most) : bytes(most), left(most) {}
  // What an earlier run left counts too, before anything is kept; `grows`: it was free space once.
  void count(std::int64_t there, bool grows) noexcept {
    if (grows) {
      bytes += there / 2;
      left += there / 2;
    }
    left -= there;
  }
  bool take(std::int64_t wanted) noexcept {
    if (left.fetch_sub(wanted) >= wanted) return true;
    left += wanted;
    return false;
  }
  void limit(std::int64_t most) noexcept {
    std::int64_t now = left.load();
    while (now > most && !left.compare_exchange_weak(now, most)) {
    }
  }
  std::int64_t bytes;
  std::atomic<std::int64_t> left;
};

std::int64_t bytes_of(const Image& image) {
  return static_cast<std::int64_t>(image.pixels.size());
}

class MemoryCache final : public PictureCache {
 public:
  MemoryCache(std::int64_t size, std::shared_ptr<Budget> budget) : budget_(std::move(budget)) {
    for (auto& slots : slots_) slots = std::vector<Slot>(static_cast<std::size_t>(size));
  }

  const Image* find(std::int64_t i, Form form, Image&) const noexcept override {
    const Slot& slot = slots_[static_cast<std::size_t>(form)][static_cast<std::size_t>(i)];
    return slot.state.load(std::memory_order_acquire) == State::full ? &slot.image : nullptr;
  }

  void keep(std::int64_t i, Form form, const Image&, const Image& picture) noexcept override {
    Slot& slot = slots_[static_cast<std::size_t>(form)][static_cast<std::size_t>(i)];
    State empty = State::empty;
    if (!slot.state.compare_exchange_strong(empty, State::filling)) return;  // another thread has the same
    State state = State::empty;
    if (budget_->take(bytes_of(picture))) {
      try {
        slot.image = picture;
        state = State::full;
      } catch (const std::exception&) {  // no memory: what was taken stays taken, so that it ends
      }
    }
    slot.state.store(state, std::memory_order_release);
  }

  std::int64_t bytes() const noexcept override { return budget_->bytes; }
  void limit(std::int64_t bytes) noexcept override { budget_->limit(bytes); }
  const void* budget() const noexcept override { return budget_.get(); }

 private:
  enum class State : std::uint8_t { empty, filling, full };  // a child of fork() may see `filling` for good
  struct Slot {
    std::atomic<State> state = State::empty;
    Image image;
  };

  std::array<std::vector<Slot>, 2> slots_;  // by form
  std::shared_ptr<Budget> budget_;
};

// A file for each picture, named by the SHA-256 of what was decoded and by what was done to it then. A file
// that was changed after the scan is found under no name that the scan knows.
class DiskCache final : public PictureCache {
 public:
  DiskCache(std::shared_ptr<const Dataset::Source> source, const Preprocessing& preprocessing,
            fs::path folder, std::shared_ptr<Budget> budget)
      : source_(std::move(source)), folder_(std::move(folder)), budget_(std::move(budget)) {
    names_ = {"decoded",
              fmt::format("{}x{}-{}-{}", preprocessing.resize.height, preprocessing.resize.width,
                          preprocessing.channels,
                          preprocessing.filter == images::Filter::bilinear ? "bilinear" : "bicubic")};
  }

  // Bytes of the data set's pictures that are there already; copies share a file.
  std::int64_t held() const {
    std::int64_t bytes = 0;
    std::set<std::string> seen;
    for (std::int64_t i = 0; i < source_->size(); ++i) {
      const auto facts = source_->facts(i);
      if (!facts || !seen.insert(facts->digest).second) continue;
      for (const Form form : {Form::decoded, Form::prepared})
        bytes += file_bytes(path_of(facts->digest, form));
    }
    return bytes;
  }

  const Image* find(std::int64_t i, Form form, Image& room) const noexcept override {
    try {
      const auto facts = source_->facts(i);
      return facts && read(path_of(facts->digest, form), room) ? &room : nullptr;
    } catch (const std::exception&) {  // not there
      return nullptr;
    }
  }

  void keep(std::int64_t i, Form form, const Image& decoded, const Image& picture) noexcept override {
    if (full_) return;
    try {
      if (!source_->facts(i) || !budget_->take(bytes_of(picture) + std::int64_t{sizeof(Head)})) return;
      write(path_of(picture_sha256(decoded), form), picture);
    } catch (const std::exception&) {  // a full disk, or no permission: it goes on without
      full_ = true;
    }
  }

  std::int64_t bytes() const noexcept override { return budget_->bytes; }
  const void* budget() const noexcept override { return budget_.get(); }

 private:
  // What a file begins with. The check sum is of the file's name, the sides, and the pixels behind them.
  struct Head {
    std::array<char, 8> magic = {'r', 'e', 's', 'n',
                                 'e', 't', 'p', '1'};  // another version resizes otherwise
    std::array<std::int64_t, 3> sides{};               // height, width, channels
    std::uint64_t sum = 0;
  };

  fs::path path_of(const std::string& digest, Form form) const {
    return folder_ / digest.substr(0, 2) / (digest + "-" + names_[static_cast<std::size_t>(form)]);
  }

  static std::uint64_t sum_of(const fs::path& path, const Head& head, const Image& image) {
    uLong sum = crc32(0, nullptr, 0);
    const auto add = [&sum](const void* data, std::size_t size) {
      sum = crc32_z(sum, static_cast<const Bytef*>(data), size);
    };
    const std::string name = path.filename().native();
    add(name.data(), name.size());
    add(head.sides.data(), sizeof head.sides);
    add(image.pixels.data(), image.pixels.size());
    return sum;
  }

  static bool read(const fs::path& path, Image& room) {
    InputFile file(path);
    Head head;
    const Head expected;
    if (file.read(std::as_writable_bytes(std::span(&head, 1))) != sizeof head || head.magic != expected.magic)
      return false;
    for (const std::int64_t side : head.sides) {
      if (side < 1 || side > images::kMostPixels) return false;
    }
    room.height = head.sides[0];
    room.width = head.sides[1];
    room.channels = head.sides[2];
    const std::int64_t bytes = room.height * room.width * room.channels;
    if (room.channels > 3 || file.size() != static_cast<std::int64_t>(sizeof head) + bytes) return false;
    room.pixels.resize(static_cast<std::size_t>(bytes));
    return file.read(std::as_writable_bytes(std::span(room.pixels))) == room.pixels.size() &&
           head.sum == sum_of(path, head, room);
  }

  static void write(const fs::path& path, const Image& image) {
    Head head;
    head.sides = {image.height, image.width, image.channels};
    head.sum = sum_of(path, head, image);
    make_directories(path.parent_path());
    const std::array parts = {std::as_bytes(std::span(&head, 1)), std::as_bytes(std::span(image.pixels))};
    write_file(path, parts, Durability::soon);
  }

  std::shared_ptr<const Dataset::Source> source_;
  fs::path folder_;
  std::array<std::string, 2> names_;  // by form
  std::shared_ptr<Budget> budget_;
  std::atomic<bool> full_ = false;
};

fs::path decoded_folder() {
  return cache_folder().empty() ? fs::path() : cache_folder() / "decoded";
}

std::shared_ptr<Budget> budget_of(const CacheOptions& options) {
  if (options.bytes < 0) throw ConfigError("CacheOptions::bytes cannot be negative");
  if (options.bytes > 0) return std::make_shared<Budget>(options.bytes);
  const bool memory = options.kind == CacheKind::memory;
  return std::make_shared<Budget>((memory ? available_memory() : free_disk(decoded_folder())) / 2);
}

std::shared_ptr<PictureCache> make_cache(const std::shared_ptr<const Dataset::Source>& source,
                                         const Preprocessing& preprocessing, const CacheOptions& options,
                                         const std::shared_ptr<Budget>& budget) {
  if (options.kind == CacheKind::none || source->in_memory()) return nullptr;
  if (options.kind == CacheKind::memory) return std::make_shared<MemoryCache>(source->size(), budget);
  if (preprocessing.jpeg_draft) {
    throw ConfigError("CacheOptions::kind is disk beside DatasetOptions::jpeg_draft",
                      "reduced JPEGs can be kept in memory, or whole ones on disk");
  }
  if (decoded_folder().empty()) return nullptr;
  auto cache = std::make_shared<DiskCache>(source, preprocessing, decoded_folder(), budget);
  budget->count(cache->held(), options.bytes == 0);
  return cache;
}

// What keeping all of a data set takes, as far as it is known without reading it.
std::int64_t needed(const Dataset& set, Form form) {
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < set.size(); ++i) {
    const auto facts = set.source().facts(i);
    if (!facts) continue;
    const auto [height, width] = form == Form::decoded
                                     ? std::pair(facts->height, facts->width)
                                     : resized_size(set.preprocessing(), facts->height, facts->width);
    bytes += height * width * set.preprocessing().channels;
  }
  return bytes;
}

std::string gigabytes(std::int64_t bytes) {
  return fmt::format("{:.3g} GB", static_cast<double>(bytes) * 1e-9);
}

}  // namespace

const Image& picture_of(const Dataset& dataset, std::int64_t i, Form form, Preprocessor& preprocessor,
                        Image& room) {
  PictureCache* cache = dataset.cache();
  if (cache != nullptr) {
    if (const Image* kept = cache->find(i, form, room)) return *kept;
  }
  dataset.source().image(i, room);
  if (cache == nullptr) return room;
  const Image& picture = form == Form::decoded ? room : preprocessor.prepared(room);
  cache->keep(i, form, room, picture);
  return picture;
}

Dataset cached(Dataset dataset, const CacheOptions& options) {
  dataset.cache_ = make_cache(dataset.source_, dataset.preprocessing_, options, budget_of(options));
  return dataset;
}

TrainTest cached(TrainTest sets, const CacheOptions& options) {
  const std::shared_ptr<Budget> budget = budget_of(options);
  for (Dataset* set : {&sets.train, sets.validation ? &*sets.validation : &sets.test})
    set->cache_ = make_cache(set->source_, set->preprocessing_, options, budget);
  return sets;
}

std::string cache_note(const TrainTest& sets, const CacheOptions& options, const Augmentation& augmentation) {
  const auto& [train, test, validation] = sets;
  if (options.kind == CacheKind::none) return "";
  if (train.source().in_memory()) return train.name() + " is in memory as it is, and needs no cache";
  if (train.cache() == nullptr)
    return "there is no place for a cache on disk: neither XDG_CACHE_HOME nor HOME is set";
  const Form form =
      Augmenter(augmentation, 0, train.example_shape()).crops_decoded() ? Form::decoded : Form::prepared;
  const std::int64_t bytes = needed(train, form) + needed(validation ? *validation : test, Form::prepared);
  if (bytes <= train.cache()->bytes()) return "";
  return fmt::format("the pictures take {}, the cache has {}: what does not fit is decoded in every epoch",
                     gigabytes(bytes), gigabytes(train.cache()->bytes()));
}

}  // namespace resnet::data
