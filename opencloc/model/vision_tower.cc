#include "opencloc/model/vision_tower.h"

#include <cmath>

#include "opencloc/ops/ops.h"

namespace opencloc {

VisionTowerImpl::VisionTowerImpl(const ModelConfig& config) : config_(config.vision) {
  const int64_t width = config_.width;
  const double scale = std::pow(static_cast<double>(width), -0.5);
  const int64_t patch = config_.patch_size;

  auto conv1 = register_module("conv1", std::make_shared<torch::nn::Module>("conv1"));
  conv1_weight_ = conv1->register_parameter(
      "weight", torch::randn({width, 3, patch, patch}) * std::pow(3.0 * patch * patch, -0.5));
  class_embedding_ = register_parameter("class_embedding", torch::randn({width}) * scale);
  positional_embedding_ = register_parameter("positional_embedding",
                                             torch::randn({1 + config_.patches(), width}) * scale);
  ln_pre_ = register_module("ln_pre", LayerNorm(width));
  const BlockConfig block{
      width, config_.heads(),
      static_cast<int64_t>(std::lround(static_cast<double>(width) * config_.mlp_ratio)),
      config.quick_gelu};
  transformer_ = register_module("transformer", Transformer(block, config_.layers));
  ln_post_ = register_module("ln_post", LayerNorm(width));
  proj_ = register_parameter("proj", torch::randn({width, config.embed_dim}) * scale);
}

torch::Tensor VisionTowerImpl::patch_embed(const torch::Tensor& pixels) const {
  const int64_t batch = pixels.size(0), grid = config_.grid(), patch = config_.patch_size;
  TORCH_CHECK(pixels.dim() == 4 && pixels.size(2) == config_.image_size &&
                  pixels.size(3) == config_.image_size,
              "pixels must be [B, 3, ", config_.image_size, ", ", config_.image_size, "], got ",
              pixels.sizes());
  const auto patches = pixels.reshape({batch, 3, grid, patch, grid, patch})
                           .permute({0, 2, 4, 1, 3, 5})
                           .reshape({batch, grid * grid, 3 * patch * patch});  // [B, N, 3 P P]
  return ops::linear(patches,
                     conv1_weight_.reshape({config_.width, 3 * patch * patch}));  // [B, N, D]
}

ImageFeatures VisionTowerImpl::forward(const torch::Tensor& pixels, const EncodeOptions& options) {
  const auto patches = patch_embed(pixels);                                       // [B, N, D]
  const auto cls = class_embedding_.expand({patches.size(0), 1, config_.width});  // [B, 1, D]
  auto x = ln_pre_(torch::cat({cls, patches}, 1) + positional_embedding_);        // [B, 1+N, D]
  ImageFeatures features;
  x = transformer_(x, ops::Mask::kNone, options.penultimate ? &features.penultimate : nullptr);
  features.tokens = x;                           // [B, 1+N, D]
  features.embedding = project(x.select(1, 0));  // [B, E]
  return features;
}

torch::Tensor VisionTowerImpl::project(const torch::Tensor& tokens) {
  return ops::linear(ln_post_(tokens), proj_.t());
}

}  // namespace opencloc
