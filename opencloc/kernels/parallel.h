// Threads for kernels: one team per process, which shares the machine with others. Work is cut by
// rules that do not depend on timing, so results do not either; who does a piece is decided by who
// is free.
//
// A caller never waits for a thread that has not begun: where another program holds a processor, it
// does that thread's pieces itself. Threads without work spin for 200 microseconds, or 20 beside
// other programs, and then sleep.
// A second caller at the same time works alone, so that N callers are N threads and not N teams.
#pragma once

#include <algorithm>
#include <cstdint>

namespace opencloc::kernels {

// Threads a call of this thread may use: what the innermost ThreadLimit says, else the process's
// number (set_thread_count). 1 inside a body.
int thread_count();

// The process's number of threads; 0 = available_cpus(), which is also the start.
void set_thread_count(int threads);

// While it lives, calls of the thread that made it use at most `threads` threads (0 = no limit of
// its own).
class ThreadLimit {
 public:
  explicit ThreadLimit(int threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int before_;
};

// While it lives, OpenMP regions that the thread that made it begins, those of libtorch and oneDNN,
// have one thread. OpenMP's threads spin for milliseconds after each region, which takes the
// processors from our team and from others.
class OneOpenMpThread {
 public:
  OneOpenMpThread();
  ~OneOpenMpThread();
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  const int before_;
};

// call(context, i) for i in [0, count) on up to thread_count() threads. Returns when all are done;
// rethrows the first exception, after which further pieces are not begun.
void run_pieces(int64_t count, void (*call)(const void* context, int64_t i), const void* context);

// body(i) for i in [0, count), handed out as threads become free: each i must be independent.
template <class Body>
void parallel_items(int64_t count, const Body& body) {
  if (count <= 1) {
    if (count == 1) body(int64_t{0});
    return;
  }
  run_pieces(
      count, [](const void* context, int64_t i) { (*static_cast<const Body*>(context))(i); },
      &body);
}

// body(begin, end) on contiguous parts of [0, count), four per thread and none smaller than
// `grain`, which is the work that pays for waking a thread.
template <class Body>
void parallel_ranges(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int64_t threads = thread_count();
  if (threads == 1 || count <= grain) return body(int64_t{0}, count);
  const int64_t parts = std::clamp<int64_t>(count / std::max<int64_t>(1, grain), 2, 4 * threads);
  parallel_items(std::min(parts, count), [&](int64_t i) {
    const int64_t all = std::min(parts, count);
    body(count * i / all, count * (i + 1) / all);
  });
}

}  // namespace opencloc::kernels
