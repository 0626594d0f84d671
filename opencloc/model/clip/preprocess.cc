#include "opencloc/model/clip/preprocess.h"

#include "opencloc/image/normalize.h"

namespace opencloc {

CanvasOptions canvas_options(const ModelConfig& config) {
  const auto& preprocess = config.preprocess;
  const auto side = static_cast<int>(config.vision.image_size);
  return {.width = side,
          .height = side,
          .rule = preprocess.resize_mode,
          .interpolation = preprocess.bicubic ? Interpolation::kBicubic : Interpolation::kBilinear,
          .fill = preprocess.fill_color};
}

ModelInput preprocess(const Image& image, const ModelConfig& config, const CanvasView& view) {
  image.check();
  const CanvasImage canvas = to_canvas(image, canvas_options(config), view);
  auto pixels = torch::empty({3, canvas.image.height, canvas.image.width});  // [3, S, S]
  normalize_chw(canvas.image, config.preprocess.mean, config.preprocess.std,
                pixels.data_ptr<float>());
  return {pixels, canvas.map};
}

}  // namespace opencloc
