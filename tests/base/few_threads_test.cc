#include <atomic>
#include <mutex>
#include <set>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencloc/base/parallel_for.h"
#include "opencloc/base/threads.h"

namespace opencloc {
namespace {

// Runs `body` in a process of a user who may have no further thread; its exit code.
int without_threads(int (*body)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{1, 1};
    if (::setrlimit(RLIMIT_NPROC, &none) != 0 || ::setuid(61235) != 0) ::_exit(77);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(FewThreads, TheCallerDoesTheWork) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become a user of one process";
  EXPECT_EQ(without_threads([] {
              std::atomic<int> sum = 0;
              parallel_for(10, 4, [&](int64_t i) { sum += static_cast<int>(i); });
              return sum == 45 ? 0 : 1;
            }),
            0);
  EXPECT_EQ(without_threads([] { return in_background([] { return 7; }).get(); }), 7);
}

TEST(FewThreads, AllThatAreWantedStartWhereTheyMay) {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::vector<std::thread> threads;
  EXPECT_EQ(start_threads(threads, 3,
                          [&] {
                            const std::lock_guard lock(mutex);
                            seen.insert(std::this_thread::get_id());
                          }),
            3);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(in_background([] { return 7; }).get(), 7);
}

}  // namespace
}  // namespace opencloc
