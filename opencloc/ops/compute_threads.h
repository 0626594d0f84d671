// How many threads a program that is ours computes with. A library leaves the host's settings alone
// and uses kernels::ThreadLimit and OneOpenMpThread.
#pragma once

namespace opencloc {

// Of our kernels, whose team takes as many as the system starts. libtorch's own operations stay on
// their caller's thread: OpenMP's threads spin for milliseconds after each (kernels/parallel.h).
// Call it before the first operation and before other threads are made.
void set_compute_threads(int threads);

}  // namespace opencloc
