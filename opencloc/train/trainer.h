// Pre-training of CLIP, CLOC and CoCa: the objectives of the table (objective/objective.h).
#pragma once

#include "opencloc/dist/group.h"
#include "opencloc/train/config.h"
#include "opencloc/train/run.h"

namespace opencloc {

// Runs (or resumes) training in config.out until config.steps are done (run.h).
TrainResult train(TrainConfig config, dist::Group& group = dist::alone());

}  // namespace opencloc
