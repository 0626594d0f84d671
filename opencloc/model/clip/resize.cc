#include "opencloc/model/clip/resize.h"

#include <string>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/clip/features.h"
#include "opencloc/model/quantized.h"

namespace opencloc {

torch::Tensor resize_positions(const torch::Tensor& positions, int64_t grid) {
  const auto tokens = positions.detach().unsqueeze(0);  // [1, T, D]
  const int64_t before = patch_grid(tokens);
  if (before == grid) return positions;
  const auto patches = patch_tokens(tokens);  // [1, N, D]
  const int64_t width = positions.size(1), prefix = tokens.size(1) - patches.size(1);
  const auto picture =
      patches.reshape({1, before, before, width}).permute({0, 3, 1, 2}).contiguous();
  const auto resized = at::_upsample_bicubic2d_aa(picture, {grid, grid},
                                                  /*align_corners=*/false);  // [1, D, grid, grid]
  const auto rows = resized.permute({0, 2, 3, 1}).reshape({grid * grid, width});
  return torch::cat({positions.detach().slice(0, 0, prefix), rows});
}

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
