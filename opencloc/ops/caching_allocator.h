// An allocator for torch's large CPU tensors that keeps freed memory for the next step. Training
// allocates and frees the same hundreds of megabytes every step; giving them back to the system
// each time costs a page fault for every 4 KiB (about a tenth of a step of a small model). Blocks
// come in huge pages where the system allows them.
#pragma once

#include <cstdint>

namespace opencloc::ops {

// From now on, for the whole process; calls after the first do nothing. Tensors made before stay as
// they are. Memory held never exceeds 5/4 of the most that was in use at one time.
void use_caching_allocator();

struct AllocatorStatistics {
  int64_t in_use = 0;  // bytes of large blocks
  int64_t kept = 0;    // bytes of freed ones
  int64_t peak = 0;    // most in use at one time
};
AllocatorStatistics allocator_statistics();
// Gives freed blocks back to the system: a server's model was unloaded, and little is needed now.
void give_kept_memory_back();

}  // namespace opencloc::ops
