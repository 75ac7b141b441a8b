// A file system that fails: the n-th call of whatever is tried gives an error, for every n until none is
// left.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <mutex>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "resnet/error.h"
#include "support/passed_on.h"

namespace resnet::test {

/// What can happen to a call.
struct Fault {
  enum Lasts { once, this_call, every_call };  // for the calls behind it: those of its kind, or all

  const char* name;
  int error;  // 0: a write or read of some of the bytes alone, which is no failure
  Lasts lasts = once;
};

inline const std::vector<Fault>& faults() {
  static const std::vector<Fault> all = {{"EIO", EIO},
                                         {"EIO, as all such calls", EIO, Fault::this_call},
                                         {"EIO, as all calls", EIO, Fault::every_call},
                                         {"ENOSPC", ENOSPC},
                                         {"ENOSPC, as all such calls", ENOSPC, Fault::this_call},
                                         {"EROFS, as all calls", EROFS, Fault::every_call},
                                         {"EDQUOT", EDQUOT},
                                         {"EMFILE", EMFILE},
                                         {"EINTR", EINTR},
                                         {"fewer bytes", 0},
                                         {"fewer bytes, as all such calls", 0, Fault::this_call}};
  return all;
}

/// Passes every call on and counts it; one fails. Counts the descriptors that are open, too.
class FaultyFiles final : public PassedOn {
 public:
  /// Of the calls from here on the `number`-th fails, from 1; none if it is 0.
  FaultyFiles(FileSystem& under, std::int64_t number, const Fault& fault)
      : PassedOn(under), number_(number), fault_(fault) {}

  bool reached() const { return reached_; }
  /// The call that failed; "" if none did.
  const std::string& failed() const { return failed_; }
  std::int64_t open_descriptors() const { return open_; }

  int open(const char* path, int flags, mode_t mode) noexcept override {
    const int fd = PassedOn::open(path, flags, mode);
    if (fd >= 0) ++open_;
    return fd;
  }
  // A descriptor is gone even if its close reports an error, as on Linux.
  int close(int fd) noexcept override {
    --open_;
    const int result = under_.close(fd);
    const int error = errno;
    if (refuses("close")) return -1;
    errno = error;
    return result;
  }
  ssize_t read(int fd, void* out, std::size_t size) noexcept override {
    const Fate fate = fate_of("read");
    return fate == Fate::fails ? -1 : under_.read(fd, out, fate == Fate::falls_short ? (size + 1) / 2 : size);
  }
  ssize_t pread(int fd, void* out, std::size_t size, off_t at) noexcept override {
    const Fate fate = fate_of("pread");
    return fate == Fate::fails ? -1
                               : under_.pread(fd, out, fate == Fate::falls_short ? (size + 1) / 2 : size, at);
  }
  // What fails for want of space or by the disk has written some of it before.
  ssize_t write(int fd, const void* bytes, std::size_t size) noexcept override {
    const Fate fate = fate_of("write");
    const int error = errno;
    if (fate == Fate::passes) return under_.write(fd, bytes, size);
    const ssize_t some = error == EINTR && fate == Fate::fails ? 0 : under_.write(fd, bytes, (size + 1) / 2);
    if (fate == Fate::falls_short) return some;
    errno = error;
    return -1;
  }

 private:
  enum class Fate { passes, fails, falls_short };

  bool refuses(const char* call) noexcept override { return fate_of(call) == Fate::fails; }
  Fate fate_of(const char* call) noexcept {
    const std::lock_guard lock(mutex_);  // a checkpoint's writer is another thread
    const bool now = ++calls_ == number_;
    if (now) {
      reached_ = true;
      failed_ = call;
    }
    const bool later = reached_ && (fault_.lasts == Fault::every_call ||
                                    (fault_.lasts == Fault::this_call && failed_ == call));
    if (!now && !later) return Fate::passes;
    if (fault_.error == 0) return Fate::falls_short;
    errno = fault_.error;
    return Fate::fails;
  }

  std::int64_t number_;
  Fault fault_;
  std::mutex mutex_;
  std::int64_t calls_ = 0;
  std::atomic<std::int64_t> open_ = 0;
  bool reached_ = false;
  std::string failed_;
};

/// What came of one try.
struct Tried {
  const Fault& fault;
  std::string failed;  // the call
  bool done;           // it returned
  std::string what, hint;

  friend std::ostream& operator<<(std::ostream& out, const Tried& tried) {
    return out << tried.failed << " fails with " << tried.fault.name << ": "
               << (tried.done ? "done" : tried.what);
  }
};

/// For each fault and each call: prepare(), then body() with that call failing, then check(). The body ends
/// well or with an IoError that has a hint, well if it was a signal or a short write, and leaves no
/// descriptor open. Gives how many calls have failed.
inline std::int64_t for_each_fault(const std::function<void()>& prepare, const std::function<void()>& body,
                                   const std::function<void(const Tried&)>& check) {
  std::int64_t count = 0;
  for (const Fault& fault : faults()) {
    for (std::int64_t number = 1;; ++number) {
      prepare();
      FaultyFiles faulty(file_system(), number, fault);
      Tried tried{fault, "", true, "", ""};
      try {
        const FilesReplaced replaced(faulty);
        body();
      } catch (const IoError& error) {
        tried.done = false;
        tried.what = error.what();
        tried.hint = error.hint();
      }
      if (!faulty.reached()) {
        EXPECT_TRUE(tried.done) << tried;
        break;
      }
      ++count;
      tried.failed = faulty.failed();
      EXPECT_TRUE(tried.done || (!tried.hint.empty() && tried.what.size() <= 300)) << tried;
      const bool must_pass = fault.error == EINTR || fault.error == 0;
      EXPECT_TRUE(tried.done || !must_pass) << tried;
      EXPECT_EQ(faulty.open_descriptors(), 0) << tried;
      check(tried);
      if (testing::Test::HasFailure()) return count;  // the first says it all
    }
  }
  return count;
}

}  // namespace resnet::test
