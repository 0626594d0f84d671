// The share of the machine that its administrator gives to this process.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace opencloc {

// Processors that Linux's control groups allow, as containers and Slurm set them: the smallest of
// cpu.max (version 2) or cpu.cfs_quota_us / cpu.cfs_period_us (version 1) over the process's group
// and the groups above it. `cgroups` is the text of /proc/self/cgroup, `mount` the folder of the
// hierarchies. None where nothing is limited.
std::optional<double> cgroup_cpus(std::string_view cgroups,
                                  const std::filesystem::path& mount = "/sys/fs/cgroup");

}  // namespace opencloc
