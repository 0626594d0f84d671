// A fixed set of worker threads with a bounded queue. For decoding and other non-torch work;
// torch has its own threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace opencloc {

class ThreadPool {
 public:
  // `threads` >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();  // waits for queued work
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Queues `work`. Exceptions thrown by it are kept; wait() rethrows the first.
  void submit(std::function<void()> work);
  void wait();
  int size() const { return static_cast<int>(threads_.size()); }

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> queue_;
  int busy_ = 0;
  bool stopping_ = false;
  std::exception_ptr first_error_;
  std::vector<std::thread> threads_;
};

// Runs body(i) for i in [0, count) on up to `threads` threads; rethrows the first exception.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& body);

// Number of processors this process may use (affinity, not the machine's total).
int available_cpus();

}  // namespace opencloc
