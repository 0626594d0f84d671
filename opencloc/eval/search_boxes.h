// Grounding without a box head: of all boxes of a grid, the one whose region embedding is nearest
// to the phrase.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// All boxes with corners on the lines of a lines x lines grid -> [(lines (lines + 1) / 2)^2, 4].
torch::Tensor grid_boxes(int64_t lines);

// Lines that are searched: the model's patches, at most so many (11,025 boxes a picture).
inline constexpr int64_t kMostLines = 14;

// text [P, E] on pictures image_index (P rows of `features`, ascending) -> boxes [P, 4] in main
// memory: for each the box of the highest cosine, the first of equals. A picture's boxes are
// encoded once, `at_a_time` together. No gradient.
torch::Tensor ground_by_search(Cloc& model, const ImageFeatures& features,
                               const std::vector<int64_t>& image_index, const torch::Tensor& text,
                               int64_t at_a_time);

}  // namespace opencloc
