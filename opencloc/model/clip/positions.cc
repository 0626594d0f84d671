#include "opencloc/model/clip/positions.h"

#include "opencloc/model/clip/features.h"

namespace opencloc {

torch::Tensor resize_positions(const torch::Tensor& positions, int64_t grid) {
  const auto tokens = positions.unsqueeze(0);  // [1, T, D]
  const int64_t before = patch_grid(tokens);
  if (before == grid) return positions;
  const auto patches = patch_tokens(tokens);  // [1, N, D]
  const int64_t width = positions.size(1), prefix = tokens.size(1) - patches.size(1);
  const auto picture =
      patches.reshape({1, before, before, width}).permute({0, 3, 1, 2}).contiguous();
  const auto resized = at::_upsample_bicubic2d_aa(picture, {grid, grid},
                                                  /*align_corners=*/false);  // [1, D, grid, grid]
  const auto rows = resized.permute({0, 2, 3, 1}).reshape({grid * grid, width});
  return torch::cat({positions.slice(0, 0, prefix), rows});
}

}  // namespace opencloc
