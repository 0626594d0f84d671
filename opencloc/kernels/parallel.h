// Threads for kernels: OpenMP's, the runtime libtorch uses too, so that at::set_num_threads()
// governs both. Work is cut by rules that do not depend on timing, so results do not either.
#pragma once

#include <algorithm>
#include <cstdint>

#include <omp.h>

namespace opencloc::kernels {

inline int thread_count() { return omp_in_parallel() ? 1 : std::max(1, omp_get_max_threads()); }

// body(begin, end) on contiguous parts of [0, count), one a thread; on this thread alone when there
// is less than `grain` work for a second one. `body` must not throw.
template <class Body>
void parallel_ranges(int64_t count, int64_t grain, const Body& body) {
  if (count <= 0) return;
  const int threads = thread_count();
  if (threads == 1 || count <= grain) return body(int64_t{0}, count);
#pragma omp parallel num_threads(threads)
  {
    const int64_t index = omp_get_thread_num(), parts = omp_get_num_threads();
    const int64_t begin = count * index / parts, end = count * (index + 1) / parts;
    if (begin < end) body(begin, end);
  }
}

// body(i) for i in [0, count), handed out as threads become free: each i must be independent.
// `body` must not throw.
template <class Body>
void parallel_items(int64_t count, const Body& body) {
  const int threads = thread_count();
  if (threads == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace opencloc::kernels
