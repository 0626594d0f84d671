// Pictures as rows of patches, in the order and form that VisionTower cuts them in.
#pragma once

#include <torch/types.h>

namespace opencloc {

// [B, 3, H, W] -> [B, N, 3 P P]
torch::Tensor to_patches(const torch::Tensor& pixels, int64_t patch);
// [B, N, 3 P P] -> [B, 3, H, W]
torch::Tensor from_patches(const torch::Tensor& patches, int64_t patch);

}  // namespace opencloc
