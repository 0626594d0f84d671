// A training run from shards to a model directory, whatever is trained (trainee.h). Read the loop
// in run.cc beside step.h.
#pragma once

#include <cstdint>

#include "opencloc/dist/group.h"
#include "opencloc/train/trainee.h"

namespace opencloc {

struct TrainResult {
  int64_t steps = 0;  // done in all, resumed ones included
  double loss = 0;    // of the last step run; 0 when none was left to run
};

// Runs (or resumes) training in the configuration's `out` until its steps are done. On the CPU the
// result depends on the configuration and the data alone: not on interruptions or the number of
// workers. Throws Error (input) for what cannot work, Error (failed) when the loss or a gradient is
// not finite, the disk is full, or a signal asked to stop (the checkpoint is then written).
//
// Every process of `group` makes this call. They train the same model on shares of each batch; the
// result is that of one process up to rounding, and the same to the bit for the same number of
// processes. Only rank 0 needs `out`.
TrainResult train(Trainee& trainee, dist::Group& group = dist::alone());

}  // namespace opencloc
