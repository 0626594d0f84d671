// The box around a mask as COCO's tools write it: polygons [[x, y, x, y, ...], ...], or a
// run-length code {"size": [height, width], "counts": [...] or "..."}. Its runs go down the columns
// and begin outside the mask; the string is pycocotools' compressed form.
#pragma once

#include <string>

#include "opencloc/base/json.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct MaskBox {
  Box box;           // pixels: from the left edge of the first column to the right edge of the last
  double width = 0;  // of the picture the mask is of; 0 = not said (polygons)
  double height = 0;
  std::string problem;  // why there is no box; empty when there is one
};

// Never throws.
MaskBox box_of_mask(const Json& segmentation);

}  // namespace opencloc
