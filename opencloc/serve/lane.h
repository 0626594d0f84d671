// A thread that works through what it is given, in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "opencloc/serve/call.h"

namespace opencloc::serve {

class Lane {
 public:
  Lane();
  ~Lane() { stop(); }
  // Ends the thread; what waits, and what comes later, is dropped.
  void stop();
  // Later, on the lane's thread: work for the call, left out where that is over by then.
  void post(CallPtr call, std::function<void()> work);

 private:
  struct Item {
    CallPtr call;
    std::function<void()> work;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace opencloc::serve
