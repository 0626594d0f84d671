#include "opencloc/ops/compute_threads.h"

#include <cstdlib>

#include <omp.h>

#include "opencloc/kernels/parallel.h"

namespace opencloc {

void set_compute_threads(int threads) {
  kernels::set_thread_count(threads);
  // Not at::set_num_threads(), which makes a pool of its own and waits for ever where a thread cannot
  // start. libtorch reads the variable when a thread of ours uses it first.
  ::setenv("OMP_NUM_THREADS", "1", 1);
  omp_set_num_threads(1);
}

}  // namespace opencloc
