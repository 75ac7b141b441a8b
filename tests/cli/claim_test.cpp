// Whose a folder is: that of a new run, of one that wrote nothing, or of another.
#include "cli/claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cerrno>
#include <optional>

#include "base/files.h"
#include "report/run_record.h"
#include "resnet/error.h"
#include "settings/settings.h"
#include "support/message_of.h"
#include "support/passed_on.h"
#include "support/scratch_folder.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Claim : public testing::Test {
 protected:
  Claim() : before_(fs::current_path()) { fs::current_path(scratch_.path()); }
  ~Claim() override { fs::current_path(before_); }
  // What a claim of "run" with this file in it is refused with.
  static std::string refusal(const char* name, const std::string& text) {
    fs::remove_all("run");
    fs::create_directory("run");
    write_file(fs::path("run") / name, text);
    return test::message_of<IoError>([] { const RunClaim claim("run", "resnet18"); });
  }
  ScratchFolder scratch_;
  fs::path before_;
};

TEST_F(Claim, OfNoFolderIsTheFirstNumberThatIsFree) {
  std::optional<RunClaim> first(std::in_place, "", "resnet18");
  const RunClaim second("", "resnet18");
  EXPECT_TRUE(fs::is_directory("runs/resnet18-1"));
  EXPECT_TRUE(fs::is_directory("runs/resnet18-2"));
  first.reset();
  EXPECT_FALSE(fs::exists("runs/resnet18-1")) << "nothing was kept of it";
  EXPECT_TRUE(fs::is_directory("runs/resnet18-2"));
}

TEST_F(Claim, OfAFolderThatARunLeftEmptyIsGranted) {
  const char* const granted = "nothing of this kind was thrown";
  EXPECT_EQ(refusal("notes.txt", "mine"), granted);
  EXPECT_TRUE(fs::exists("run/notes.txt")) << "what is nobody's stays";
  EXPECT_EQ(refusal(report::kConfigFile, ""), granted);
  EXPECT_FALSE(fs::exists(fs::path("run") / report::kConfigFile));
  const std::string config = std::string(settings::kTomlHeading) + "\nepochs = 3\n";
  EXPECT_EQ(refusal(report::kConfigFile, config), granted);
  EXPECT_EQ(read_text(fs::path("run") / report::kConfigFile), config) << "it may be somebody's only copy";
  EXPECT_EQ(refusal(report::kMetricsFile, report::metrics_header()), granted);
  EXPECT_EQ(refusal(report::kMetricsFile, report::metrics_header(true)), granted) << "with a validation set";
  fs::create_directories("run/seed-3");
  write_file("run/seed-3/config.toml", config);
  write_file("run/seed-3/metrics.csv", report::metrics_header());
  EXPECT_EQ(test::message_of<IoError>([] { const RunClaim claim("run", "resnet18"); }), granted)
      << "a seed's, which wrote no more";
}

TEST_F(Claim, LeavesWhatTookThePlaceOfItsFolder) {
  {
    const RunClaim claim("run", "resnet18");
    fs::rename("run", "moved");
    fs::create_directory("run");
    write_file("run/metrics.csv", "another run's");
    write_file("moved/config.toml", "mine");
  }
  EXPECT_EQ(read_text("run/metrics.csv"), "another run's");
  EXPECT_EQ(read_text("moved/config.toml"), "mine");
}

TEST_F(Claim, OfAnotherRunIsRefusedByItsFile) {
  for (const auto& [name, text] : {std::pair(report::kConfigFile, std::string("mine = 1\n")),
                                   {report::kConfigFile, settings::kTomlHeading + std::string(1 << 16, ' ')},
                                   {report::kMetricsFile, report::metrics_header() + "1,2,3,4\n"},
                                   {report::kCurvesFile, std::string()},
                                   {report::kResultFile, std::string()},
                                   {report::kModelFile, std::string()}}) {
    EXPECT_EQ(refusal(name, text), std::string("run already holds a run (its ") + name + ")");
    EXPECT_EQ(read_text(fs::path("run") / name), text) << "nothing of it was touched";
  }
  fs::remove_all("run");
  fs::create_directory("run");
  fs::create_symlink("nowhere", fs::path("run") / report::kConfigFile);
  EXPECT_THAT(test::message_of<IoError>([] { const RunClaim claim("run", "resnet18"); }),
              HasSubstr("already holds a run"));
}

// A run is killed before its first figures, and begun again by the same command.
TEST_F(Claim, OfAFolderWithCheckpointsIsRefused) {
  for (const fs::path& place : {fs::path("run"), fs::path("run") / "seed-3"}) {
    fs::remove_all("run");
    fs::create_directories(place / report::kCheckpoints);
    const std::string config = std::string(settings::kTomlHeading) + "\n";
    write_file(fs::path("run") / report::kConfigFile, config);
    write_file(place / report::kConfigFile, config);
    write_file(place / report::kMetricsFile, report::metrics_header());
    write_file(place / report::kCheckpoints / "step-000000010.safetensors", "whole");
    EXPECT_THAT(test::message_of<IoError>([] { const RunClaim claim("run", "resnet18"); }),
                HasSubstr(place == "run" ? "(its checkpoints)" : "(its seed-3/checkpoints)"));
    EXPECT_EQ(read_text(place / report::kConfigFile), config);
    EXPECT_EQ(read_text(place / report::kMetricsFile), report::metrics_header());
    EXPECT_EQ(read_text(place / report::kCheckpoints / "step-000000010.safetensors"), "whole");
  }
}

TEST_F(Claim, OfAFolderWhoseCheckpointsLeadElsewhereIsRefused) {
  fs::create_directory("precious");
  fs::create_directory("run");
  fs::create_directory_symlink("../precious", fs::path("run") / report::kCheckpoints);
  EXPECT_THAT(test::message_of<IoError>([] { const RunClaim claim("run", "resnet18"); }),
              HasSubstr("run/checkpoints is a link"));
  EXPECT_THAT(test::message_of<IoError>([] { RunClaim::of_run("run"); }),
              HasSubstr("run/checkpoints is a link"));
}

TEST_F(Claim, IsCalledWithoutTheSlashBehindItsName) {
  EXPECT_EQ(RunClaim("run/", "resnet18").folder(), "run");
  fs::create_directory("run");
  EXPECT_EQ(RunClaim::of_run("run//").folder(), "run");
}

TEST_F(Claim, WhereNoFolderCanBeLockedIsOfWhoMakesTheFirstFile) {
  class Lockless final : public test::PassedOn {
   public:
    Lockless() : PassedOn(file_system()) {}
    int flock(int, int) noexcept override {
      errno = ENOLCK;
      return -1;
    }
  } files;
  const test::FilesReplaced replaced(files);
  const RunClaim first("run", "resnet18");
  EXPECT_TRUE(fs::exists(fs::path("run") / report::kConfigFile));
  EXPECT_THAT(test::message_of<IoError>([] { const RunClaim second("run", "resnet18"); }),
              HasSubstr("run already holds a run (its config.toml)"));
}

}  // namespace
}  // namespace resnet::cli
