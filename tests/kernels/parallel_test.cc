#include "opencloc/kernels/parallel.h"

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

namespace opencloc::kernels {
namespace {

class Parallel : public testing::Test {
 protected:
  void TearDown() override { set_thread_count(1); }
};

TEST_F(Parallel, EveryItemIsDoneOnce) {
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<size_t>(count));
      parallel_items(count, [&](int64_t i) { ++done[static_cast<size_t>(i)]; });
      for (const auto& times : done) ASSERT_EQ(times, 1);
    }
  }
}

TEST_F(Parallel, RangesCoverEverythingAndRespectTheGrain) {
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    for (const int64_t count : {1, 10, 63, 64, 65, 1000}) {
      std::mutex mutex;
      std::set<std::pair<int64_t, int64_t>> ranges;
      parallel_ranges(count, 16, [&](int64_t begin, int64_t end) {
        const std::lock_guard lock(mutex);
        ranges.emplace(begin, end);
      });
      int64_t next = 0;
      for (const auto& [begin, end] : ranges) {
        EXPECT_EQ(begin, next);
        EXPECT_LT(begin, end);
        next = end;
      }
      EXPECT_EQ(next, count);
      if (count >= 32) {
        EXPECT_LE(ranges.size(), static_cast<size_t>(count / 16));
      }
    }
  }
}

// Many short calls in a row: the window between the end of one and the start of the next.
TEST_F(Parallel, CallsFollowEachOther) {
  set_thread_count(4);
  int64_t sum = 0;
  for (int round = 0; round < 20000; ++round) {
    std::atomic<int64_t> part{0};
    parallel_items(5, [&](int64_t i) { part += i; });
    sum += part;
  }
  EXPECT_EQ(sum, 20000 * 10);
}

TEST_F(Parallel, CallersAtOnceShareOneTeam) {
  set_thread_count(3);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        parallel_items(8, [&](int64_t i) {
          sum += i;
          const std::lock_guard lock(mutex);
          seen.insert(std::this_thread::get_id());
        });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(sum, 4 * 200 * 28);
  EXPECT_LE(seen.size(), 4u + 4u)
      << "the callers, and the helpers that the widest call of this process made";
}

TEST_F(Parallel, TheFirstExceptionComesBackAndTheTeamLives) {
  set_thread_count(3);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(parallel_items(100,
                                [&](int64_t i) {
                                  if (i == 7) throw std::bad_alloc();
                                }),
                 std::bad_alloc);
  }
  std::atomic<int> done{0};
  parallel_items(100, [&](int64_t) { ++done; });
  EXPECT_EQ(done, 100);
  EXPECT_EQ(thread_count(), 3) << "a body that threw is over";
}

TEST_F(Parallel, BodiesRunOnOneThread) {
  set_thread_count(3);
  std::atomic<int> most{0};
  parallel_items(10, [&](int64_t) {
    parallel_items(4, [&](int64_t) { most = std::max<int>(most, thread_count()); });
  });
  EXPECT_EQ(most, 1);
}

TEST_F(Parallel, LimitsNestAndEnd) {
  set_thread_count(4);
  {
    const ThreadLimit two(2);
    EXPECT_EQ(thread_count(), 2);
    {
      const ThreadLimit three(3), none(0);
      EXPECT_EQ(thread_count(), 3);
    }
    EXPECT_EQ(thread_count(), 2);
    std::thread([] { EXPECT_EQ(thread_count(), 4) << "a limit is its thread's own"; }).join();
  }
  EXPECT_EQ(thread_count(), 4);
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
}

TEST_F(Parallel, OpenMpGetsItsNumberBack) {
  omp_set_num_threads(3);
  {
    const OneOpenMpThread one;
    EXPECT_EQ(omp_get_max_threads(), 1);
  }
  EXPECT_EQ(omp_get_max_threads(), 3);
  omp_set_num_threads(1);
}

// A child after fork() has the caller's memory and none of the team's threads.
TEST_F(Parallel, AChildProcessHasATeamOfItsOwn) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer knows no threads after a fork of several threads";
#endif
  set_thread_count(3);
  parallel_items(10, [](int64_t) {});
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> done{0};
    parallel_items(100, [&](int64_t) { ++done; });
    _exit(done == 100 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace opencloc::kernels
