// What a multimodal language model learns by: the cross-entropy of each word of the answers, given
// the picture and all before (Liu et al., "Visual Instruction Tuning", 2023, equation 2).
#pragma once

#include <memory>

#include "opencloc/mllm/mllm_model.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

// The mean is over all learned words of the batch, of all processes. Batches come from a loader
// with SampleOptions::sequences. `model` outlives the objective.
std::unique_ptr<Objective> make_mllm_objective(MllmModel& model, FrozenParts frozen);

}  // namespace opencloc
