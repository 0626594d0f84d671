// How many threads tensors are computed with.
#pragma once

namespace opencloc {

// Of libtorch and of our kernels. Where the system starts fewer threads than that takes, it is as
// many as are sure to start, and a warning says so: libtorch waits for ever for a thread that was
// not started, and OpenMP ends the process.
void set_compute_threads(int threads);

}  // namespace opencloc
