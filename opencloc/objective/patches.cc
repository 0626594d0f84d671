#include "opencloc/objective/patches.h"

#include <cmath>

namespace opencloc {

torch::Tensor to_patches(const torch::Tensor& pixels, int64_t patch) {
  const int64_t batch = pixels.size(0), grid = pixels.size(2) / patch;
  return pixels.reshape({batch, 3, grid, patch, grid, patch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({batch, grid * grid, 3 * patch * patch});
}

torch::Tensor from_patches(const torch::Tensor& patches, int64_t patch) {
  const int64_t batch = patches.size(0);
  const auto grid = static_cast<int64_t>(std::llround(std::sqrt(patches.size(1))));
  return patches.reshape({batch, grid, grid, 3, patch, patch})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({batch, 3, grid * patch, grid * patch});
}

}  // namespace opencloc
