// The boxes of pictures that have none of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "opencloc/image/box.h"

namespace opencloc {

// Boxes of a grid: for each level of n boxes a side, n x n boxes that overlap their neighbours by
// half. 1, 2, 3 are 1 + 4 + 9 boxes. Row by row, in [0, 1].
std::vector<Box> grid_boxes(const std::vector<int64_t>& levels);

// Which `keep` of these boxes to keep: the best by quality of those that overlap no better one by
// an IoU above 0.5, then the best of the rest. Their places, ascending; all where there are no
// more. `qualities` are of the boxes.
std::vector<size_t> best_boxes(const std::vector<Box>& boxes, const std::vector<float>& qualities,
                               size_t keep);

}  // namespace opencloc
