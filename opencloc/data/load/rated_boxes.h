// Boxes for the quality head to learn from: around the objects of a canvas, and anywhere.
#pragma once

#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct RatedBox {
  Box box;        // of the canvas
  float iou = 0;  // with the best of the objects
};

// Three of four lie about one of the objects, so that their IoUs spread over [0, 1]: moved, too
// large, or a part of it. Each fourth is anywhere on the canvas, of any size. What is drawn follows
// from the generator alone. None where there are no objects: that nobody has labelled any says
// nothing.
std::vector<RatedBox> rated_boxes(const std::vector<Box>& objects, int64_t count, Rng& rng);

}  // namespace opencloc
