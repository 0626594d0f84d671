// Self-distillation small enough for tests.
#pragma once

#include "opencloc/objective/distillation.h"

namespace opencloc::fixtures {

inline DistillationOptions small_distillation() {
  DistillationOptions options;
  options.weight = 0.8;
  options.global_weight = 0.4;
  options.head = {.hidden = 24, .bottleneck = 16, .prototypes = 20};
  options.momentum = 0.5;
  options.steps = 10;
  return options;
}

}  // namespace opencloc::fixtures
