#include "opencloc/ops/compute_threads.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include <omp.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/threads.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc {

void set_compute_threads(int threads) {
  // libtorch makes a pool of its own (at first for all processors) beside OpenMP's.
  const int wanted = std::max(threads, available_cpus()) - 1 + threads;
  const int possible = startable_threads(wanted);
  if (possible == wanted) {
    at::set_num_threads(threads);
    return;
  }
  // Without at::set_num_threads(), which makes the pool: its other words for the same. A third of
  // what can be started leaves room for decoding.
  const int fewer = std::clamp(possible / 3, 1, threads);
  ::setenv("OMP_NUM_THREADS", std::to_string(fewer).c_str(), 1);
  at::get_num_threads();  // reads the variable now, once and for all
  omp_set_num_threads(fewer);
  kernels::parallel_ranges(fewer, 1, [](int64_t, int64_t) {});  // its threads start here, or never
  log::warn("the system starts {} more threads only: computing with {} instead of {}", possible,
            fewer, threads);
}

}  // namespace opencloc
