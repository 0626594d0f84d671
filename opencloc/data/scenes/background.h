// The grounds that objects stand on.
#pragma once

#include <array>
#include <string>

#include "opencloc/base/rng.h"
#include "opencloc/image/image.h"

namespace opencloc {

using Color = std::array<float, 3>;  // RGB, 0..255

struct Background {
  Image image;
  std::string phrase;  // what it is: "a red and white striped background"
};

// Plain, gradients, stripes, checks, soft blobs and noise, in named colours that vary a little.
Background draw_background(int size, Rng& rng);

// Light and sensor: every value times `brightness`, plus grain of `grain` standard deviations.
void expose(Image& image, float brightness, float grain, Rng& rng);

}  // namespace opencloc
