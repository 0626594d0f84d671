// What the processes of a job have skipped together.
#pragma once

#include "opencloc/data/shard/skips.h"
#include "opencloc/dist/group.h"

namespace opencloc {

// Afterwards the counts are those of all processes, everywhere. A call of all of them.
void count_of_all(dist::Group& group, SkipCounter& skips);

}  // namespace opencloc
