// Threads for decoding and other work without torch, which has its own.
#pragma once

#include <cstdint>
#include <functional>

namespace opencloc {

// Runs body(i) for i in [0, count) on up to `threads` threads, on as many as the system starts, at
// worst on the caller's; rethrows the first exception.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& body);

// Number of processors this process may use (affinity, not the machine's total).
int available_cpus();

}  // namespace opencloc
