// OpenAI-CLIP's Vision Transformer: pre-norm, class token, ln_pre, ln_post, linear projection.
#pragma once

#include <torch/torch.h>

#include "opencloc/model/config.h"
#include "opencloc/model/features.h"
#include "opencloc/model/transformer.h"

namespace opencloc {

struct EncodeOptions {
  bool penultimate = false;  // also return the second-to-last block's output
};

// Parameters: conv1.weight, class_embedding, positional_embedding, ln_pre, transformer, ln_post,
// proj.
class VisionTowerImpl : public torch::nn::Module {
 public:
  explicit VisionTowerImpl(const ModelConfig& config);
  // pixels [B, 3, H, W], normalised, H = W = image_size.
  ImageFeatures forward(const torch::Tensor& pixels, const EncodeOptions& options = {});
  // tokens [..., D] -> [..., E]: ln_post and the projection, on any tokens.
  torch::Tensor project(const torch::Tensor& tokens);
  // The same without the projection: ln_post alone. -> [..., D]
  torch::Tensor post_norm(const torch::Tensor& tokens) { return ln_post_(tokens); }

 private:
  torch::Tensor patch_embed(const torch::Tensor& pixels) const;  // [B, N, D]

  VisionConfig config_;
  torch::Tensor conv1_weight_;          // [D, 3, P, P], no bias
  torch::Tensor class_embedding_;       // [D]
  torch::Tensor positional_embedding_;  // [1+N, D]
  torch::Tensor proj_;                  // [D, E]
  LayerNorm ln_pre_{nullptr}, ln_post_{nullptr};
  Transformer transformer_{nullptr};
};
TORCH_MODULE(VisionTower);

}  // namespace opencloc
