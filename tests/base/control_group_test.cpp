#include "base/control_group.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "support/scratch_folder.h"

namespace resnet {
namespace {

// A root folder with what Linux would show below it.
class ControlGroup : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    root_.put(name, {text.begin(), text.end()});
  }
  double cores() const { return control_group_cores(root_.path()); }

  ScratchFolder root_;
};

constexpr const char* kV2 =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kV1 =
    "33 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "34 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

TEST_F(ControlGroup, WithoutAnyThereIsNoLimit) {
  EXPECT_EQ(cores(), INFINITY);
  put("proc/self/mountinfo", kV2);
  put("proc/self/cgroup", "0::/user.slice\n");
  EXPECT_EQ(cores(), INFINITY) << "the controller is off";
  put("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), INFINITY);
}

TEST_F(ControlGroup, TakesTheLeastQuotaOfItsGroupAndAllAroundIt) {
  put("proc/self/mountinfo", kV2);
  put("proc/self/cgroup", "0::/user.slice/job.slice/run.scope\n");
  put("sys/fs/cgroup/user.slice/job.slice/run.scope/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/user.slice/job.slice/cpu.max", "100000 100000\n");
  put("sys/fs/cgroup/user.slice/cpu.max", "350000 100000\n");
  EXPECT_EQ(cores(), 1);
  put("sys/fs/cgroup/user.slice/job.slice/run.scope/cpu.max", "25000 50000\n");
  EXPECT_EQ(cores(), 0.5);
  put("proc/self/cgroup", "0::/user.slice\n");
  EXPECT_EQ(cores(), 3.5) << "groups below are others' business";
}

TEST_F(ControlGroup, FollowsVersionOneToo) {
  put("proc/self/mountinfo", kV1);
  put("proc/self/cgroup",
      "5:cpuset:/elsewhere\n4:cpu,cpuacct:/batch/job7\n1:name=systemd:/init.scope\n0::/init.scope\n");
  const std::string group = "sys/fs/cgroup/cpu,cpuacct/batch/";
  put(group + "job7/cpu.cfs_quota_us", "-1\n");
  put(group + "job7/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), INFINITY);
  put(group + "cpu.cfs_quota_us", "200000\n");
  put(group + "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), 2);
}

TEST_F(ControlGroup, TakesTheLessOfBothVersions) {
  put("proc/self/mountinfo",
      std::string(kV1) + "35 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  put("proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/b\n");
  put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
  put("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), 3);
  put("sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n");
  EXPECT_EQ(cores(), 2);
}

TEST_F(ControlGroup, LeavesWhatItsLimitOfMemoryLeaves) {
  const auto left = [&] { return control_group_memory(root_.path()); };
  EXPECT_GE(left(), std::int64_t{1} << 60);
  put("proc/self/mountinfo", kV2);
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/b/memory.max", "max\n");
  EXPECT_GE(left(), std::int64_t{1} << 60);
  put("sys/fs/cgroup/a/memory.max", "10000\n");
  put("sys/fs/cgroup/a/memory.current", "9000\n");
  EXPECT_EQ(left(), 1000);
  put("sys/fs/cgroup/a/memory.stat", "anon 3000\nfile 6000\ninactive_file 4000\nactive_file 1500\n");
  EXPECT_EQ(left(), 6500) << "files in the page cache make room";
  put("proc/self/mountinfo", "34 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  put("proc/self/cgroup", "4:memory:/job\n");
  put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "5000\n");
  put("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4000\n");
  put("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  EXPECT_EQ(left(), 1500);
}

// A container that sees a part of the hierarchy, under the paths of the whole.
TEST_F(ControlGroup, FindsItsGroupBelowTheMountedPart) {
  put("proc/self/mountinfo", "30 23 0:26 /docker/a1b2 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  put("proc/self/cgroup", "0::/docker/a1b2/inner\n");
  put("sys/fs/cgroup/cpu.max", "200000 100000\n");
  put("sys/fs/cgroup/inner/cpu.max", "400000 100000\n");
  EXPECT_EQ(cores(), 2);
  put("proc/self/cgroup", "0::/docker/a1b\n");
  EXPECT_EQ(cores(), INFINITY) << "another group, which is not seen";
  put("proc/self/cgroup", "0::/../a1b2\n");
  EXPECT_EQ(cores(), INFINITY);
}

// With a namespace of its own, a container's group is the root.
TEST_F(ControlGroup, OfANamespaceIsTheRoot) {
  put("proc/self/mountinfo", kV2);
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(cores(), 1.5);
}

TEST_F(ControlGroup, ReadsPathsWithSpacesAndColons) {
  put("proc/self/mountinfo", "30 23 0:26 / /mnt/control\\040groups rw - cgroup2 cgroup2 rw\n");
  put("proc/self/cgroup", "0::/a b:c\n");
  put("mnt/control groups/a b:c/cpu.max", "100000 100000\n");
  EXPECT_EQ(cores(), 1);
}

TEST_F(ControlGroup, IgnoresWhatItCannotRead) {
  put("proc/self/mountinfo",
      "\nx\n - \n30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n - cgroup2 c rw\n" + std::string(kV2));
  put("proc/self/cgroup", "\n::\n0\n0::\n4:cpu\n0::/a\n");
  put("sys/fs/cgroup/a/cpu.max", "fast 0\n");
  EXPECT_EQ(cores(), INFINITY);
  put("sys/fs/cgroup/a/cpu.max", "100000 0\n");
  EXPECT_EQ(cores(), INFINITY);
}

}  // namespace
}  // namespace resnet
