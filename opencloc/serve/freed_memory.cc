#include "opencloc/serve/freed_memory.h"

#include <malloc.h>

namespace opencloc::serve {

void keep_little_freed_memory() {
  constexpr int kOneHeap = 1;
  constexpr int kLargeBytes = 1 << 20;
  // A sanitizer's own allocator refuses these, and needs none of them.
  ::mallopt(M_ARENA_MAX, kOneHeap);
  ::mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  ::mallopt(M_TRIM_THRESHOLD, kLargeBytes);
}

}  // namespace opencloc::serve
