#include "opencloc/model/clip/resize.h"

#include <string>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/clip/positions.h"
#include "opencloc/model/quantized.h"

namespace opencloc {

Cloc with_image_size(const Cloc& model, int64_t image_size) {
  ModelConfig config = model->config();
  if (config.vision.image_size == image_size) return model;
  if (image_size < 1 || image_size % config.vision.patch_size != 0) {
    throw Error::input("image size " + std::to_string(image_size) + " is no multiple of " +
                           std::to_string(config.vision.patch_size),
                       "setting 'image_size'", "give a multiple of the model's patch size");
  }
  config.vision.image_size = image_size;
  config.validate("setting 'image_size'");
  Cloc resized(config);
  resized->to(model->logit_scale.device());
  resized->set_precision(model->precision());
  resized->set_backend(model->backend());
  const torch::NoGradGuard no_grad;
  if (is_quantized(model)) share_quantized_weights(model, resized);
  const auto from = model->named_parameters();
  for (auto& item : resized->named_parameters()) {
    const auto& value = from[item.key()];
    item.value().copy_(item.key() == "visual.positional_embedding"
                           ? resize_positions(value, config.vision.grid())
                           : value);
  }
  resized->train(model->is_training());
  return resized;
}

}  // namespace opencloc
