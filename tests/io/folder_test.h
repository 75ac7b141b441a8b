// What tests of files share.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "support/scratch_folder.h"

namespace resnet {

class FolderTest : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  static std::string read(const std::filesystem::path& path) { return read_text(path); }
  static void write(const std::filesystem::path& path, const std::string& text) { write_file(path, text); }

  ScratchFolder folder_;
};

/// For its life, a file of this process may not grow beyond so many bytes, as on a disk that fills up.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit small = {bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

}  // namespace resnet
