#include "opencloc/base/threads.h"

#include <atomic>
#include <condition_variable>
#include <mutex>

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

int startable_threads(int wanted) {
  std::mutex mutex;
  std::condition_variable release;
  bool released = false;
  std::vector<std::thread> threads;
  int started = 0;
  try {
    while (started < wanted) {
      threads.reserve(threads.size() + 1);
      threads.emplace_back([&] {
        std::unique_lock lock(mutex);
        release.wait(lock, [&] { return released; });
      });
      ++started;
    }
  } catch (const std::system_error&) {
    // The answer is what was started before.
  }
  {
    const std::lock_guard lock(mutex);
    released = true;
  }
  release.notify_all();
  for (auto& thread : threads) thread.join();
  return started;
}

}  // namespace opencloc
