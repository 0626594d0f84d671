// Whether the data that something is learned from are those that it is tested on.
#pragma once

#include <string>

#include "opencloc/eval/evaluate.h"

namespace opencloc {

// Throws Error (input) for a linear probe without 'train_data'.
void check_train_data(const EvalOptions& options);

// The shards of options.train_data against those of `data_glob`: true when both are the same (or
// nothing is given), false when none is in both. Shards are the same when their paths lead to one
// file, or their remote names are equal. Throws Error (input) when they share only some, or when
// they are the same and a linear probe is wanted.
bool learns_from_the_data(const std::string& data_glob, const EvalOptions& options);

}  // namespace opencloc
