// A model at another image size: the position embedding of the patch grid is interpolated.
#pragma once

#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// positions [T, D] of a square grid, with or without a class token's in front, to a grid of
// `grid` x `grid`: bicubic with antialiasing, as open_clip's resize_pos_embed. The class token's
// position stays. -> [T', D]
torch::Tensor resize_positions(const torch::Tensor& positions, int64_t grid);

// A copy for pictures of image_size x image_size; the model itself where that is its size already.
// Places keep their encodings (ClocConfig::encoding_grid).
// Error (input) when image_size is no multiple of the patch size.
Cloc with_image_size(const Cloc& model, int64_t image_size);

}  // namespace opencloc
