// Which shards a process works on, when the same command runs as many processes that share nothing.
#pragma once

#include <cstdint>
#include <functional>

namespace opencloc {

// Shards number index, index + count, index + 2 count, ... of the sorted list.
struct ShardShare {
  int64_t index = 0;
  int64_t count = 1;
};

// What the launcher says: a Slurm array (SLURM_ARRAY_TASK_*) times the ranks of dist/place.h; 0 of
// 1 without any. A batch script's SLURM_NTASKS alone says nothing: only one process runs there.
// Throws Error (input) for values
// that make no sense. `variable` is std::getenv, or a test's.
ShardShare share_from_environment(const std::function<const char*(const char*)>& variable);

}  // namespace opencloc
