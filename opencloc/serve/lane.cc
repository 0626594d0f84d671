#include "opencloc/serve/lane.h"

namespace opencloc::serve {

Lane::Lane() : thread_([this] { run(); }) {}

void Lane::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  items_.clear();
}

void Lane::post(CallPtr call, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return;
    items_.push_back({std::move(call), std::move(work)});
  }
  changed_.notify_one();
}

void Lane::run() {
  while (true) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !items_.empty(); });
      if (ending_) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    if (!item.call->over()) item.call->guard(item.work);
  }
}

}  // namespace opencloc::serve
