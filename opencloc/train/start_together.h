// All processes of a job start from what the first one has: only its disk holds the run.
#pragma once

#include <string>

#include "opencloc/dist/group.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/setup.h"

namespace opencloc {

// Throws Error (input), the same one in every process, naming the first setting or size of data
// ("name = value" lines) that differs from rank 0's. Two processes that train by different settings
// would make a model of neither.
void require_equal(dist::Group& group, const std::string& lines);

// Rank 0's model and tokenizer, made anew in the others, whose `parts` may be empty. On the CPU.
TrainedParts share_parts(dist::Group& group, TrainedParts parts);

// Rank 0's values in all processes, which have tensors of the same shapes.
void share_tensors(dist::Group& group, const NamedTensors& tensors);

// Rank 0's `moments` ("m.NAME" and "v.NAME" of the parameters) in all processes. Throws Error
// (input) where one of them is missing.
NamedTensors share_moments(dist::Group& group, const NamedTensors& parameters, NamedTensors moments,
                           const std::string& where);

}  // namespace opencloc
