#include "opencloc/base/threads.h"

#include <atomic>

#include "opencloc/base/log.h"

namespace opencloc {

void warn_of_few_threads() {
  static std::atomic<bool> told{false};
  if (told.exchange(true)) return;
  log::warn(
      "the system does not start as many threads as are wanted: fewer do the work (see "
      "'ulimit -u' and the container's limit of processes)");
}

int start_threads(std::vector<std::thread>& threads, int count, const std::function<void()>& body) {
  for (int started = 0; started < count; ++started) {
    threads.reserve(threads.size() + 1);  // so that a thread never lacks its place
    try {
      threads.emplace_back(body);
    } catch (const std::system_error&) {
      warn_of_few_threads();
      return started;
    }
  }
  return count;
}

}  // namespace opencloc
