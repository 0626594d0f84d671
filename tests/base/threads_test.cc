#include <atomic>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "opencloc/base/cpu_quota.h"
#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/progress.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

TEST(ParallelFor, DoesEveryItemOnce) {
  for (const int threads : {0, 1, 3, 64}) {
    std::mutex mutex;
    std::multiset<int64_t> done;
    parallel_for(50, threads, [&](int64_t i) {
      const std::lock_guard lock(mutex);
      done.insert(i);
    });
    ASSERT_EQ(done.size(), 50u);
    for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(done.count(i), 1u);
  }
  parallel_for(0, 4, [](int64_t) { FAIL() << "nothing to do"; });
}

TEST(ParallelFor, RethrowsAndStops) {
  std::atomic<int> done{0};
  EXPECT_THROW(parallel_for(1'000'000, 2,
                            [&](int64_t i) {
                              ++done;
                              if (i == 3) throw std::runtime_error("no");
                            }),
               std::runtime_error);
  EXPECT_LT(done, 1'000'000);
}

TEST(CgroupCpus, TheSmallestQuotaOfTheGroupAndThoseAboveCounts) {
  const fixtures::TestFolder mount;
  EXPECT_EQ(cgroup_cpus("0::/job/step\n", mount.path()), std::nullopt) << "no files, no limit";
  const auto limit = [&](const std::filesystem::path& group, const std::string& text) {
    std::filesystem::create_directories(mount / group);
    write_file(mount / group / "cpu.max", text);
  };
  limit("job/step", "max 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/job/step\n", mount.path()), std::nullopt);
  limit("job", "250000 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/job/step\n", mount.path()), 2.5);
  limit("job/step", "50000 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/job/step\n", mount.path()), 0.5);
  limit("", "40000 100000\n");
  EXPECT_EQ(cgroup_cpus("0::/\n", mount.path()), 0.4) << "a container's own root";
}

TEST(CgroupCpus, VersionOne) {
  const fixtures::TestFolder mount;
  const auto group = mount / "cpu,cpuacct" / "docker" / "x";
  std::filesystem::create_directories(group);
  write_file(group / "cpu.cfs_period_us", "100000\n");
  write_file(group / "cpu.cfs_quota_us", "-1\n");
  const std::string text = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n";
  EXPECT_EQ(cgroup_cpus(text, mount.path()), std::nullopt);
  write_file(group / "cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(cgroup_cpus(text, mount.path()), 3.0);
  EXPECT_EQ(cgroup_cpus("not a line\n4:cpuset:/docker/x\n", mount.path()), std::nullopt);
}

TEST(ErrorText, IsOneLineOfWhatWhereAndHow) {
  const Error error = Error::input("it\nbroke", "a.txt", "mend it");
  EXPECT_STREQ(error.what(), "it broke, a.txt: mend it");
  EXPECT_EQ(error.exit_code(), 2);
  EXPECT_STREQ(Error::failed("it broke").what(), "it broke");
  EXPECT_EQ(Error::failed("it broke").exit_code(), 1);
}

TEST(Format, ReadsWell) {
  EXPECT_EQ(format_duration(0.4), "0:00");
  EXPECT_EQ(format_duration(75), "1:15");
  EXPECT_EQ(format_duration(3700), "1:01:40");
  EXPECT_EQ(format_duration(-1), "0:00");
  EXPECT_EQ(format_count(3.14), "3.1");
  EXPECT_EQ(format_count(12345), "12.3 k");
  EXPECT_EQ(format_count(2.5e6), "2.5 M");
}

}  // namespace
}  // namespace opencloc
