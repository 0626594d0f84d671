#include "opencloc/base/cpu_quota.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace opencloc {
namespace {

namespace fs = std::filesystem;

// "max 100000" or "150000 100000": microseconds of processor time per period.
std::optional<double> quota_of_version_2(const fs::path& folder) {
  std::ifstream file(folder / "cpu.max");
  double quota = 0, period = 0;
  if (file >> quota >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;  // no file, or "max"
}

std::optional<double> quota_of_version_1(const fs::path& folder) {
  std::ifstream quota_file(folder / "cpu.cfs_quota_us"), period_file(folder / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0)
    return quota / period;
  return std::nullopt;  // -1 is no limit
}

// A container may see its own group as the root of the mount, so the mount itself is asked too.
template <class QuotaOf>
void take_smallest(const fs::path& mount, const fs::path& group, const QuotaOf& quota_of,
                   std::optional<double>& smallest) {
  fs::path folder = group.relative_path();
  for (;;) {
    if (const auto quota = quota_of(mount / folder))
      smallest = std::min(*quota, smallest.value_or(*quota));
    if (folder.empty()) return;
    folder = folder.parent_path();
  }
}

}  // namespace

std::optional<double> cgroup_cpus(std::string_view cgroups, const fs::path& mount) {
  std::optional<double> smallest;
  std::istringstream lines{std::string(cgroups)};
  // Each line is "number:controllers:/path"; version 2 has no controllers.
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    if (controllers.empty()) {
      take_smallest(mount, path, quota_of_version_2, smallest);
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      take_smallest(mount / controllers, path, quota_of_version_1, smallest);
      take_smallest(mount / "cpu", path, quota_of_version_1, smallest);
    }
  }
  return smallest;
}

}  // namespace opencloc
