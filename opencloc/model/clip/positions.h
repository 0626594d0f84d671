// Learned positions of a patch grid at another size of the grid: the one place where they are
// interpolated.
#pragma once

#include <torch/types.h>

namespace opencloc {

// positions [T, D] of a square grid, with or without a class token's in front, to a grid of
// `grid` x `grid`: bicubic with antialiasing, as open_clip's resize_pos_embed. The class token's
// position stays. -> [T', D], with its gradient; `positions` itself where that is its grid.
torch::Tensor resize_positions(const torch::Tensor& positions, int64_t grid);

}  // namespace opencloc
