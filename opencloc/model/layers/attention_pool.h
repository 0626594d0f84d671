// SigLIP's attention pooling head (Zhai et al., "Scaling Vision Transformers", 2022): a learned
// query reads from all tokens, an MLP follows.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/transformer.h"

namespace opencloc {

// The head's own blocks: the tower's, but for what VisionConfig says of the head.
BlockConfig pool_config(const VisionConfig& vision, BlockConfig block);

// Parameters: probe [1, 1, D], attn (in_proj_weight, in_proj_bias, out_proj), ln, mlp.
class AttentionPoolImpl : public torch::nn::Module {
 public:
  explicit AttentionPoolImpl(const BlockConfig& config);
  // tokens [B, T, D] -> [B, D]
  torch::Tensor forward(const torch::Tensor& tokens);

 private:
  torch::Tensor probe_;  // [1, 1, D]
  Attention attn_{nullptr};
  LayerNorm ln_{nullptr};
  Mlp mlp_{nullptr};
};
TORCH_MODULE(AttentionPool);

}  // namespace opencloc
