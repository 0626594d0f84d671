// Threads where the system gives fewer than are asked for (`ulimit -u`, a container's limit of
// processes): the work is done by those there are.
#pragma once

#include <functional>
#include <future>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace opencloc {

// Starts up to `count` threads that run `body`, behind those in `threads`. Returns how many could
// be started; fewer than asked for are warned of once in a process.
int start_threads(std::vector<std::thread>& threads, int count, const std::function<void()>& body);

// Warns, once in a process, that fewer threads than wanted can be started.
void warn_of_few_threads();

// Work on a thread of its own; where none can be started, whoever asks for the result does it.
template <typename Work>
auto in_background(const Work& work) {
  try {
    return std::async(std::launch::async, work);
  } catch (const std::system_error&) {
    warn_of_few_threads();
    return std::async(std::launch::deferred, work);
  }
}

}  // namespace opencloc
