// 8-bit pixels to the numbers a model reads.
#pragma once

#include <array>

#include "opencloc/image/image.h"

namespace opencloc {

// out [3, height, width] = (pixel / 255 - mean) / std, bit for bit torchvision's ToTensor and
// Normalize. `out` has room for 3 * height * width floats. Thread-safe.
void normalize_chw(const Image& image, const std::array<float, 3>& mean,
                   const std::array<float, 3>& std, float* out);

}  // namespace opencloc
