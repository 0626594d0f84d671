// The Vision Transformer of CLIP and of its relatives: pre-norm blocks over the patches, with or
// without a class token, pooled by it, by the mean or by an attention head (VisionConfig).
#pragma once

#include <optional>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/clip/features.h"
#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/attention_pool.h"
#include "opencloc/model/layers/attentional_pooler.h"
#include "opencloc/model/layers/transformer.h"

namespace opencloc {

struct EncodeOptions {
  // Also return the tokens after that many blocks, as transformers counts hidden_states: 0 what
  // enters the first block, -1 the last block's output, -2 the second-to-last's (LLaVA's choice).
  std::optional<int64_t> hidden_layer = std::nullopt;
  // Pixels may be of another size than the model's: its positions are interpolated for them
  // (resize_positions()), and get the gradient.
  bool any_size = false;
  // Return what the Prompter reads of several layers, too (ImageFeatures::layers).
  bool several_layers = false;
  // [B, K] int64: the patches that go through the tower, each with its own place; undefined: all
  // (He et al., 2022; Li et al., "Scaling Language-Image Pre-training via Masking", 2023). Tokens
  // are then [B, K, D], after the class token where there is one, in the order given.
  torch::Tensor keep = {};
  // [B, L, D] that go through the blocks after the patches, as the tower's last L tokens: words of
  // a joint encoder (model/self_supervision/joint_encoder.h). Towers that pool by attention or by
  // the patches pool over them, too.
  torch::Tensor appended = {};
  // [B, N] bool: the patches that the tower sees as `hidden_patch` [D] instead, in their places
  // (BEiT's and iBOT's masking: Bao et al., 2022; Zhou et al., 2022); undefined: none.
  torch::Tensor hidden = {};
  torch::Tensor hidden_patch = {};
};

// Parameters: conv1.weight, conv1.bias, class_embedding, positional_embedding, ln_pre, transformer,
// ln_post, attn_pool (SigLIP's head or CoCa's pooler), proj, proj_bias: those the configuration
// has.
class VisionTowerImpl : public torch::nn::Module {
 public:
  explicit VisionTowerImpl(const ModelConfig& config);
  // pixels [B, 3, H, W], normalised, H = W = image_size (but for EncodeOptions::any_size). T =
  // config.vision.tokens().
  ImageFeatures forward(const torch::Tensor& pixels, const EncodeOptions& options = {});
  // tokens [R, D] -> [R, E]: what the tower would make of an image of that one token. For CLIP:
  // ln_post and the projection.
  torch::Tensor project(const torch::Tensor& tokens);
  // What dense evaluations read (MaskCLIP, CLIPSelf): the last block without its attention on
  // `penultimate` [B, T, D], the second-to-last block's tokens, then project(). -> [B, N, E]
  torch::Tensor dense(const torch::Tensor& penultimate);
  // project() without the projection: ln_post alone. -> [..., D]. Not with an attentional pooler,
  // whose norm is that of its answers.
  torch::Tensor post_norm(const torch::Tensor& tokens) { return ln_post_(tokens); }

 private:
  torch::Tensor patch_embed(const torch::Tensor& pixels, int64_t image_size) const;  // [B, N, D]
  // [B, K] patches -> [B, 1 + K] tokens, or [B, K] without a class token.
  torch::Tensor kept_rows(const torch::Tensor& keep) const;
  // How the tokens turn that forward() makes of a grid.
  Rotation rotation(int64_t grid, const EncodeOptions& options) const;
  torch::Tensor pool(const torch::Tensor& tokens);  // [B, T, D] -> [B, D]
  torch::Tensor to_embedding(const torch::Tensor& pooled) const;

  VisionConfig config_;
  torch::Tensor conv1_weight_, conv1_bias_;  // [D, 3, P, P], [D]
  torch::Tensor class_embedding_;            // [D]
  torch::Tensor positional_embedding_;       // [T, D]
  torch::Tensor proj_;                       // [D, E]; with a pooler [E, E]
  torch::Tensor proj_bias_;                  // [E]
  LayerNorm ln_pre_{nullptr}, ln_post_{nullptr};
  Transformer transformer_{nullptr};
  AttentionPool attn_pool_{nullptr};
  AttentionalPooler pooler_{nullptr};
};
TORCH_MODULE(VisionTower);

}  // namespace opencloc
