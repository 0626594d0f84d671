// Threads for decoding and other work without torch, which has its own.
#pragma once

#include <cstdint>
#include <functional>

namespace opencloc {

// Runs body(i) for i in [0, count) on up to `threads` threads, on as many as the system starts, at
// worst on the caller's; rethrows the first exception.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& body);

// Number of processors this process may use: the machine's, or fewer by its affinity or its control
// group's quota (rounded to the nearest number, at least 1), and its share of them where several
// processes of a job work side by side.
int available_cpus();

// So many processes of one job run on this machine. A launcher that gave each of them processors of
// its own (affinity) has shared already. Before there are threads.
void share_cpus_among(int processes);

}  // namespace opencloc
