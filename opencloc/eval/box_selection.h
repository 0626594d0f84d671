// Which boxes of the data an evaluation counts: where published protocols differ most.
#pragma once

#include <cstdint>

namespace opencloc {

// Pixels are those of the stored picture.
struct BoxSelection {
  bool crowd = false;   // also boxes around many objects (import --crowd marks them "crowd")
  double min_area = 0;  // square pixels; boxes of just that count
  double max_area = 0;  // 0 = no limit
  // Boxes without a text are kept, as distractors, and so many random ones a picture join them: of
  // 5 to 60 % of its sides, with an IoU below 0.3 to every box with a text. Negative: none at all,
  // and boxes without a text are left out.
  int64_t distractors = -1;
  uint64_t seed = 0;  // of the random ones
};

}  // namespace opencloc
