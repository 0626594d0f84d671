#include "opencloc/ops/compute_threads.h"

#include "opencloc/kernels/parallel.h"
#include "opencloc/ops/torch_compat.h"

namespace opencloc {

void set_compute_threads(int threads) {
  kernels::set_thread_count(threads);
  ops::use_one_thread();
}

}  // namespace opencloc
