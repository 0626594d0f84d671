#include "opencloc/image/normalize.h"

namespace opencloc {

void normalize_chw(const Image& image, const std::array<float, 3>& mean,
                   const std::array<float, 3>& std, float* out) {
  float value_of[3][256];
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < 256; ++i) {  // the three roundings of torchvision's div, sub, div
      value_of[c][i] = (static_cast<float>(i) / 255.0f - mean[c]) / std[c];
    }
  }
  const size_t plane = static_cast<size_t>(image.width) * image.height;
  const uint8_t* pixel = image.pixels.data();
  float* red = out;
  float* green = red + plane;
  float* blue = green + plane;
  for (size_t i = 0; i < plane; ++i, pixel += 3) {
    red[i] = value_of[0][pixel[0]];
    green[i] = value_of[1][pixel[1]];
    blue[i] = value_of[2][pixel[2]];
  }
}

}  // namespace opencloc
