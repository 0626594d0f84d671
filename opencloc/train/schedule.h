// Learning rate over the steps: linear warm-up, then cosine decay to 0.
#pragma once

#include <cstdint>

namespace opencloc {

struct Schedule {
  double peak = 5e-4;
  int64_t warmup = 2000;  // steps
  int64_t steps = 0;      // of the whole run

  // Learning rate of step `step` = 0, 1, ...; the first step already moves (peak / warmup).
  double at(int64_t step) const;
};

}  // namespace opencloc
