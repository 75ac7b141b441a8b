// The folder of a run: found or made, and this process's alone until it ends.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"

namespace resnet::cli {

/// Throws IoError where a folder of a run is a link: what it leads to is not the run's.
void refuse_link(const std::filesystem::path& folder);

class RunClaim {
 public:
  /// Claims `out`, or where that is empty the first free runs/<model>-<n>. Of several processes that want a
  /// folder one gets it. What a run left that was ended before its first figures (config.toml, the heading
  /// of metrics.csv) is no run, unless it has checkpoints. Throws IoError where another process or an earlier
  /// run has the folder.
  RunClaim(const std::string& out, const std::string& model);
  /// Claims the folder of a run that goes on. Throws IoError where another process has it.
  static RunClaim of_run(const std::filesystem::path& folder) { return RunClaim(folder); }
  /// Unless it is kept, nothing is left of a folder that was made, or of the records that a run wrote into
  /// it; a config.toml that was there before is there again.
  ~RunClaim();
  RunClaim(const RunClaim&) = delete;
  RunClaim& operator=(const RunClaim&) = delete;

  const std::filesystem::path& folder() const noexcept { return folder_; }
  void keep() noexcept { kept_ = true; }  ///< there is something worth keeping
  /// Whether the folder was moved or removed since it was claimed, or another one put in its place.
  bool is_gone() const noexcept { return lock_->folder().is_gone(); }
  const KnownFolder& known() const noexcept { return lock_->folder(); }

 private:
  explicit RunClaim(std::filesystem::path folder);
  void claim_new(const std::string& model);
  void claim(const std::filesystem::path& folder);
  void restore_config() const noexcept;

  std::filesystem::path folder_;
  // What is removed where the run came to nothing: named before memory ends.
  std::vector<std::filesystem::path> records_;
  std::filesystem::path checkpoints_;
  std::string config_;  // that was there; "": none
  std::optional<FolderLock> lock_;
  bool made_ = false, kept_ = false;
};

}  // namespace resnet::cli
