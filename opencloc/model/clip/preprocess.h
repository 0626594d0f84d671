// A picture as this model reads it: its canvas rule, interpolation, mean and standard deviation.
#pragma once

#include <torch/types.h>

#include "opencloc/image/canvas.h"
#include "opencloc/image/image.h"
#include "opencloc/model/config/config.h"

namespace opencloc {

CanvasOptions canvas_options(const ModelConfig& config);

struct ModelInput {
  torch::Tensor pixels;  // [3, S, S] float, normalised; S = config.vision.image_size
  CanvasMap map;         // where the picture (not its crop) lies on the canvas
};

// Thread-safe. Throws Error (input) for a crop that makes no sense and a picture whose members do
// not agree (Image::check).
ModelInput preprocess(const Image& image, const ModelConfig& config, const CanvasView& view = {});

}  // namespace opencloc
