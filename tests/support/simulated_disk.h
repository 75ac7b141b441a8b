// A disk in memory that loses its power: after every operation, each state that a journalling file system may
// leave is made, and what reads the disk afterwards is run on it.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/passed_on.h"

namespace resnet::test {

/// Where it is mounted; other paths are those of the file system beneath.
inline constexpr const char* kDisk = "/simulated-disk";

/// The promises are POSIX's, and no more: fsync of a file keeps its bytes, fsync of a folder keeps the names
/// in it. Names of a folder come and go in order, independently of other folders and of the bytes.
class SimulatedDisk final : public PassedOn {
 public:
  struct Node {
    bool folder = false;
    mode_t mode = 0;
    std::string bytes;
    std::map<std::string, int> names;

    auto operator<=>(const Node&) const = default;
  };
  /// An operation that leaves a trace on the disk, or the report of something saved.
  struct Operation {
    enum Kind { name, rename, remove, write, truncate, flush, report } kind;
    int node = 0;      // the folder of a name, or the file
    std::string text;  // a name, or bytes
    std::string to;    // of a rename
    int child = 0;
    std::size_t at = 0;  // of a write; the size of a truncation
  };

  explicit SimulatedDisk(FileSystem& under, std::vector<Node> nodes = {})
      : PassedOn(under), nodes_(std::move(nodes)) {
    if (nodes_.empty()) nodes_.push_back({true, kFolder, "", {}});
    settle();
  }

  /// Everything so far is on the disk for good.
  void settle() {
    const std::lock_guard lock(mutex_);
    base_ = nodes_;
    log_.clear();
  }
  /// The body says: from here on this must not be lost.
  void report() {
    const std::lock_guard lock(mutex_);
    log_.push_back({Operation::report, 0, {}, {}, 0, 0});
  }
  std::vector<Node> base() const { return base_; }
  std::vector<Operation> log() const { return log_; }
  std::size_t open_descriptors() const { return open_.size(); }

  int open(const char* path, int flags, mode_t mode) noexcept override {
    if (!is_ours(path)) return under_.open(path, flags, mode);
    const std::lock_guard lock(mutex_);
    const Place place = find(path);
    if (place.folder < 0) return fail(ENOENT);
    int node = place.node;
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (node < 0 && (flags & O_CREAT) == 0) return fail(ENOENT);
    if (node >= 0 && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return fail(EEXIST);
    if (node < 0) node = add(place, {false, S_IFREG | mode, "", {}});
    const Node& found = nodes_[at(node)];
    if (found.folder && writes) return fail(EISDIR);
    if (!found.folder && (flags & O_DIRECTORY) != 0) return fail(ENOTDIR);
    if ((flags & O_TRUNC) != 0) apply({Operation::truncate, node, {}, {}, 0, 0});
    open_[next_] = {node, 0, (flags & O_APPEND) != 0};
    return next_++;
  }
  int close(int fd) noexcept override {
    if (fd < kFirst) return under_.close(fd);
    const std::lock_guard lock(mutex_);
    return open_.erase(fd) == 1 ? 0 : fail(EBADF);
  }
  ssize_t read(int fd, void* out, std::size_t size) noexcept override {
    if (fd < kFirst) return under_.read(fd, out, size);
    const std::lock_guard lock(mutex_);
    Open& open = open_.at(fd);
    const ssize_t got = copy(open.node, out, size, open.at);
    if (got > 0) open.at += static_cast<std::size_t>(got);
    return got;
  }
  ssize_t pread(int fd, void* out, std::size_t size, off_t from) noexcept override {
    if (fd < kFirst) return under_.pread(fd, out, size, from);
    const std::lock_guard lock(mutex_);
    return copy(open_.at(fd).node, out, size, static_cast<std::size_t>(from));
  }
  ssize_t write(int fd, const void* bytes, std::size_t size) noexcept override {
    if (fd < kFirst) return under_.write(fd, bytes, size);
    const std::lock_guard lock(mutex_);
    Open& open = open_.at(fd);
    if (open.appends) open.at = nodes_[at(open.node)].bytes.size();
    apply({Operation::write, open.node, std::string(static_cast<const char*>(bytes), size), {}, 0, open.at});
    open.at += size;
    return static_cast<ssize_t>(size);
  }
  int ftruncate(int fd, off_t size) noexcept override {
    if (fd < kFirst) return under_.ftruncate(fd, size);
    const std::lock_guard lock(mutex_);
    apply({Operation::truncate, open_.at(fd).node, {}, {}, 0, static_cast<std::size_t>(size)});
    return 0;
  }
  int fsync(int fd) noexcept override {
    if (fd < kFirst) return under_.fsync(fd);
    const std::lock_guard lock(mutex_);
    apply({Operation::flush, open_.at(fd).node, {}, {}, 0, 0});
    return 0;
  }
  void drop_cache(int fd) noexcept override {
    if (fd < kFirst) under_.drop_cache(fd);
  }
  int flock(int fd, int operation) noexcept override {
    if (fd < kFirst) return under_.flock(fd, operation);
    const std::lock_guard lock(mutex_);
    Open& own = open_.at(fd);
    for (const auto& [other, open] : open_) {
      if (other != fd && open.node == own.node && open.locked) return fail(EWOULDBLOCK);
    }
    own.locked = (operation & LOCK_EX) != 0;
    return 0;
  }
  int fchmod(int fd, mode_t mode) noexcept override {
    if (fd < kFirst) return under_.fchmod(fd, mode);
    const std::lock_guard lock(mutex_);
    mode_t& own = nodes_[at(open_.at(fd).node)].mode;
    own = (own & S_IFMT) | mode;
    return 0;
  }
  int fchown(int fd, uid_t owner, gid_t group) noexcept override {
    return fd < kFirst ? under_.fchown(fd, owner, group) : 0;
  }
  int fstat(int fd, struct stat* status) noexcept override {
    if (fd < kFirst) return under_.fstat(fd, status);
    const std::lock_guard lock(mutex_);
    return tell(open_.at(fd).node, status);
  }
  int stat(const char* path, struct stat* status) noexcept override {
    if (!is_ours(path)) return under_.stat(path, status);
    const std::lock_guard lock(mutex_);
    const int node = find(path).node;
    return node < 0 ? fail(ENOENT) : tell(node, status);
  }
  int lstat(const char* path, struct stat* status) noexcept override {
    return is_ours(path) ? stat(path, status) : under_.lstat(path, status);
  }
  int readlink(const char* path, std::string& target) override {
    return is_ours(path) ? fail(EINVAL) : under_.readlink(path, target);
  }
  int rename(const char* from, const char* to) noexcept override {
    if (!is_ours(from) && !is_ours(to)) return under_.rename(from, to);
    if (!is_ours(from) || !is_ours(to)) return fail(EXDEV);
    const std::lock_guard lock(mutex_);
    const Place old = find(from), place = find(to);
    if (old.node < 0 || place.folder < 0) return fail(ENOENT);
    if (old.folder != place.folder) return fail(EXDEV);  // nobody moves a file between folders
    if (place.node >= 0 && nodes_[at(place.node)].folder) return fail(EISDIR);
    apply({Operation::rename, old.folder, old.name, place.name, old.node, 0});
    return 0;
  }
  int unlink(const char* path) noexcept override {
    return is_ours(path) ? remove(path, false) : under_.unlink(path);
  }
  int rmdir(const char* path) noexcept override {
    return is_ours(path) ? remove(path, true) : under_.rmdir(path);
  }
  int mkdir(const char* path, mode_t mode) noexcept override {
    if (!is_ours(path)) return under_.mkdir(path, mode);
    const std::lock_guard lock(mutex_);
    const Place place = find(path);
    if (place.folder < 0) return fail(ENOENT);
    if (place.node >= 0) return fail(EEXIST);
    add(place, {true, S_IFDIR | mode, "", {}});
    return 0;
  }
  int list(const char* folder, std::vector<std::string>& names) override {
    if (!is_ours(folder)) return under_.list(folder, names);
    const std::lock_guard lock(mutex_);
    const int node = find(folder).node;
    if (node < 0) return fail(ENOENT);
    if (!nodes_[at(node)].folder) return fail(ENOTDIR);
    for (const auto& [name, child] : nodes_[at(node)].names) names.push_back(name);
    return 0;
  }

  /// What an operation does to nodes that may lack what came before it.
  static void apply_to(std::vector<Node>& nodes, const Operation& operation) {
    Node& node = nodes[at(operation.node)];
    switch (operation.kind) {
      case Operation::name:
        node.names[operation.text] = operation.child;
        break;
      case Operation::rename:
        node.names.erase(operation.text);
        node.names[operation.to] = operation.child;
        break;
      case Operation::remove:
        node.names.erase(operation.text);
        break;
      case Operation::write:
        node.bytes.resize(std::max(node.bytes.size(), operation.at + operation.text.size()));
        std::copy(operation.text.begin(), operation.text.end(),
                  node.bytes.begin() + static_cast<std::ptrdiff_t>(operation.at));
        break;
      case Operation::truncate:
        node.bytes.resize(operation.at);
        break;
      default:
        break;
    }
  }
  /// As they are now, for the modes and folders of nodes.
  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  static constexpr int kFirst = 1 << 20;  // of the descriptors; real ones are smaller
  static constexpr mode_t kFolder = S_IFDIR | 0755;
  struct Open {
    int node = 0;
    std::size_t at = 0;
    bool appends = false, locked = false;
  };
  struct Place {
    int folder = -1;  // -1: it is not there
    std::string name;
    int node = -1;  // -1: there is nothing of that name
  };

  static std::size_t at(int node) { return static_cast<std::size_t>(node); }
  static int fail(int error) noexcept {
    errno = error;
    return -1;
  }
  static bool is_ours(const char* path) noexcept {
    const std::size_t size = std::strlen(kDisk);
    return std::strncmp(path, kDisk, size) == 0 && (path[size] == '/' || path[size] == '\0');
  }
  Place find(const char* path) const {
    Place place{0, ".", 0};
    for (const std::filesystem::path& part :
         std::filesystem::path(path + std::strlen(kDisk)).lexically_normal().relative_path()) {
      if (part.empty() || part == ".") continue;
      if (place.node < 0 || !nodes_[at(place.node)].folder) return {};
      const auto& names = nodes_[at(place.node)].names;
      const auto found = names.find(part.string());
      place = {place.node, part.string(), found == names.end() ? -1 : found->second};
    }
    return place;
  }
  void apply(Operation operation) {
    apply_to(nodes_, operation);
    log_.push_back(std::move(operation));
  }
  int add(const Place& place, Node node) {
    nodes_.push_back(std::move(node));
    const int child = static_cast<int>(nodes_.size()) - 1;
    apply({Operation::name, place.folder, place.name, {}, child, 0});
    return child;
  }
  int remove(const char* path, bool folder) {
    const std::lock_guard lock(mutex_);
    const Place place = find(path);
    if (place.node < 0) return fail(ENOENT);
    const Node& node = nodes_[at(place.node)];
    if (node.folder != folder) return fail(folder ? ENOTDIR : EISDIR);
    if (!node.names.empty()) return fail(ENOTEMPTY);
    apply({Operation::remove, place.folder, place.name, {}, place.node, 0});
    return 0;
  }
  ssize_t copy(int node, void* out, std::size_t size, std::size_t from) const {
    const std::string& bytes = nodes_[at(node)].bytes;
    if (from >= bytes.size()) return 0;
    const std::size_t count = std::min(size, bytes.size() - from);
    std::memcpy(out, bytes.data() + from, count);
    return static_cast<ssize_t>(count);
  }
  int tell(int node, struct stat* status) const {
    const Node& found = nodes_[at(node)];
    *status = {};
    status->st_ino = static_cast<ino_t>(node) + 1;
    status->st_mode = found.mode;
    status->st_nlink = 1;
    status->st_uid = ::geteuid();
    status->st_gid = ::getegid();
    status->st_size = static_cast<off_t>(found.bytes.size());
    return 0;
  }

  mutable std::recursive_mutex mutex_;  // a checkpoint's writer is another thread
  std::vector<Node> nodes_, base_;
  std::vector<Operation> log_;
  std::map<int, Open> open_;
  int next_ = kFirst;
};

/// The states that a loss of power may leave after `done` operations of a log.
class PowerLoss {
 public:
  using Node = SimulatedDisk::Node;
  using Operation = SimulatedDisk::Operation;

  PowerLoss(const std::vector<Node>& base, const std::vector<Node>& last, const std::vector<Operation>& log,
            std::size_t done, std::mt19937_64& random)
      : certain_(base) {
    for (std::size_t node = base.size(); node < last.size(); ++node)
      certain_.push_back({last[node].folder, last[node].mode, "", {}});
    std::map<int, std::vector<Operation>> open;  // by node: not yet flushed
    for (std::size_t i = 0; i < done; ++i) {
      if (log[i].kind == Operation::report) continue;
      std::vector<Operation>& pending = open[log[i].node];
      if (log[i].kind != Operation::flush) {
        pending.push_back(log[i]);
        continue;
      }
      for (const Operation& operation : pending) SimulatedDisk::apply_to(certain_, operation);
      pending.clear();
    }
    for (const auto& [node, pending] : open) {
      if (!pending.empty()) choices_.push_back({node, outcomes(node, pending, random)});
    }
  }

  /// How many there are; more than `most` are not told apart.
  std::size_t count(std::size_t most) const {
    std::size_t product = 1;
    for (const auto& choice : choices_) product = std::min(most + 1, product * choice.outcomes.size());
    return product;
  }
  /// The `number`-th of them.
  std::vector<Node> state(std::size_t number) const {
    std::vector<Node> nodes = certain_;
    for (const auto& [node, outcomes] : choices_) {
      nodes[static_cast<std::size_t>(node)] = outcomes[number % outcomes.size()];
      number /= outcomes.size();
    }
    return nodes;
  }
  std::vector<Node> any(std::mt19937_64& random) const {
    std::vector<Node> nodes = certain_;
    for (const auto& [node, outcomes] : choices_)
      nodes[static_cast<std::size_t>(node)] = outcomes[random() % outcomes.size()];
    return nodes;
  }

 private:
  struct Choice {
    int node;
    std::vector<Node> outcomes;
  };

  // Names: those of the first operations, in order. Bytes: all, none, zeros in their place, some blocks of
  // them, or a file that ends at a block.
  std::vector<Node> outcomes(int node, const std::vector<Operation>& pending, std::mt19937_64& random) const {
    const Node& old = certain_[static_cast<std::size_t>(node)];
    std::vector<Node> result = {old};
    std::vector<Node> nodes = certain_;
    Node& next = nodes[static_cast<std::size_t>(node)];
    for (const Operation& operation : pending) {
      SimulatedDisk::apply_to(nodes, operation);
      if (old.folder) result.push_back(next);
    }
    if (old.folder) return result;
    result.push_back(next);
    constexpr std::size_t kBlock = 512;
    const std::size_t size = next.bytes.size(), blocks = (size + kBlock - 1) / kBlock;
    const auto torn = [&](const std::function<bool(std::size_t)>& kept, bool zeros) {
      Node some = next;
      for (std::size_t i = 0; i < size; ++i) {
        if (!kept(i / kBlock)) some.bytes[i] = zeros || i >= old.bytes.size() ? '\0' : old.bytes[i];
      }
      result.push_back(std::move(some));
    };
    torn([](std::size_t) { return false; }, true);
    constexpr std::size_t kFew = 3;
    if (blocks <= kFew) {
      for (std::size_t set = 0; set + 1 < std::size_t{1} << blocks; ++set)
        torn([&](std::size_t block) { return (set >> block & 1U) != 0; }, false);
    } else {
      torn([&](std::size_t block) { return block < blocks / 2; }, false);
      torn([&](std::size_t block) { return block >= blocks / 2; }, false);
      torn([&](std::size_t block) { return block + 1 < blocks; }, false);
      const std::uint64_t seed = random();
      torn([&](std::size_t block) { return (std::mt19937_64(seed + block)() & 1U) != 0; }, false);
    }
    const auto shorter = [&](std::size_t end) {
      result.push_back(next);
      result.back().bytes.resize(std::min(end, size));
    };
    shorter(0);
    shorter(blocks / 2 * kBlock);
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
  }

  std::vector<Node> certain_;
  std::vector<Choice> choices_;
};

/// Of what can be reached from a folder.
inline std::size_t hash_of(const std::vector<SimulatedDisk::Node>& nodes, std::size_t folder = 0) {
  constexpr std::size_t kPrime = 0x100000001b3;
  std::size_t hash = nodes[folder].mode;
  for (const auto& [name, child] : nodes[folder].names) {
    const auto node = static_cast<std::size_t>(child);
    hash = (hash ^ std::hash<std::string>()(name)) * kPrime;
    hash = (hash ^ std::hash<std::string>()(nodes[node].bytes)) * kPrime + hash_of(nodes, node);
  }
  return hash;
}

struct PowerLossResult {
  std::size_t operations = 0, states = 0;  // states that differ, in what is on them or in what was reported
  std::size_t lost = 0;                    // of them
  std::string first;                       // what was said of the first one that was lost
};

/// Runs body(disk) once, with files below kDisk on a simulated disk; it says disk.settle() behind what it
/// prepares, and disk.report() whenever it has said that something is saved. Then, for the states after each
/// of its operations, check(reported) with the disk in that state and the number of reports before it; it
/// gives what was lost, "" if nothing. At most `most` states after an operation, drawn where there are more.
inline PowerLossResult for_each_power_loss(const std::function<void(SimulatedDisk&)>& body,
                                           const std::function<std::string(int reported)>& check,
                                           std::size_t most = 256) {
  SimulatedDisk disk(file_system());
  {
    const FilesReplaced replaced(disk);
    body(disk);
  }
  const auto log = disk.log();
  std::mt19937_64 random(20);
  std::set<std::pair<int, std::size_t>> seen;
  PowerLossResult result;
  int reported = 0;
  for (std::size_t done = 0; done <= log.size(); ++done) {
    if (done > 0 && log[done - 1].kind == SimulatedDisk::Operation::report) ++reported;
    const PowerLoss loss(disk.base(), disk.nodes(), log, done, random);
    const std::size_t count = loss.count(most);
    for (std::size_t i = 0; i < std::min(count, most); ++i) {
      std::vector<SimulatedDisk::Node> state = count <= most ? loss.state(i) : loss.any(random);
      if (!seen.emplace(reported, hash_of(state)).second) continue;
      ++result.states;
      SimulatedDisk after(file_system(), std::move(state));
      const FilesReplaced replaced(after);
      std::string what = check(reported);
      if (what.empty()) continue;
      if (result.lost++ == 0)
        result.first = "after " + std::to_string(done) + " operations, " + std::to_string(reported) +
                       " reported: " + what;
    }
  }
  result.operations = log.size();
  return result;
}

}  // namespace resnet::test
