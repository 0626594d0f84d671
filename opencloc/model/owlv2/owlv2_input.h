// A picture as OWLv2 reads it: padded at the right and the bottom with grey (0.5) to a square, then
// resized (bilinear, antialiased).
#pragma once

#include <array>
#include <cstdint>

#include <torch/types.h>

#include "opencloc/image/box.h"
#include "opencloc/image/image.h"

namespace opencloc {

struct Owlv2InputOptions {
  int64_t image_size = 960;  // S, of the square canvas
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f};
  std::array<float, 3> std{0.26862954f, 0.26130258f, 0.27577711f};
};

// -> [3, S, S] float, normalised. Equal to padding the whole picture first; memory grows with the
// picture, not with the square of its longer side. Thread-safe.
torch::Tensor owlv2_input(const Image& image, const Owlv2InputOptions& options);

// A box of the canvas (corners, in [0, 1]) as a box of the picture, clipped to it. Empty when it
// lies in the padding.
Box owlv2_box_to_image(const Box& canvas_box, int width, int height);

}  // namespace opencloc
