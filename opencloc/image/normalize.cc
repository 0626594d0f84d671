#include "opencloc/image/normalize.h"

namespace opencloc {

void normalize_chw(const Image& image, const std::array<float, 3>& mean,
                   const std::array<float, 3>& std, float* out) {
  const size_t plane = static_cast<size_t>(image.width) * image.height;
  for (int c = 0; c < 3; ++c) {
    float value_of[256];  // the three roundings of torchvision's div, sub, div
    for (int i = 0; i < 256; ++i) value_of[i] = (static_cast<float>(i) / 255.0f - mean[c]) / std[c];
    const uint8_t* pixel = image.pixels.data() + c;
    float* target = out + c * plane;
    for (size_t i = 0; i < plane; ++i) target[i] = value_of[pixel[3 * i]];
  }
}

}  // namespace opencloc
