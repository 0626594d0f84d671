#include "opencloc/base/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include "opencloc/base/cpu_quota.h"
#include "opencloc/base/threads.h"

namespace opencloc {

void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& body) {
  const int used = static_cast<int>(std::min<int64_t>(std::max(1, threads), count));
  if (used <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<int64_t> next{0};
  std::exception_ptr first_error;
  std::mutex error_mutex;
  const auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!first_error) first_error = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> workers;
  if (start_threads(workers, used, work) == 0) work();
  for (auto& worker : workers) worker.join();
  if (first_error) std::rethrow_exception(first_error);
}

namespace {

int processes_beside = 1;

int cpus_of_affinity(int otherwise) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : otherwise;
}

}  // namespace

void share_cpus_among(int processes) {
  const auto of_machine = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const bool own_ones = cpus_of_affinity(of_machine) < of_machine;
  processes_beside = own_ones ? 1 : std::max(1, processes);
}

int available_cpus() {
  int cpus = cpus_of_affinity(static_cast<int>(std::thread::hardware_concurrency()));
  std::ifstream file("/proc/self/cgroup");
  const std::string cgroups(std::istreambuf_iterator<char>(file), {});
  if (const auto quota = cgroup_cpus(cgroups))
    cpus = std::min(cpus, static_cast<int>(std::lround(*quota)));
  return std::max(1, cpus / processes_beside);
}

}  // namespace opencloc
