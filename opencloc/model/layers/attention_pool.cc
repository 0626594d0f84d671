#include "opencloc/model/layers/attention_pool.h"

#include <cmath>

#include "opencloc/model/layers/initial.h"

namespace opencloc {

BlockConfig pool_config(const VisionConfig& vision, BlockConfig block) {
  if (vision.map_heads > 0) block.heads = vision.map_heads;
  if (vision.map_mlp_ratio > 0)
    block.mlp_width = std::llround(static_cast<double>(vision.width) * vision.map_mlp_ratio);
  return block;
}

AttentionPoolImpl::AttentionPoolImpl(const BlockConfig& config) {
  probe_ = register_parameter(
      "probe",
      initial::normal({1, 1, config.width}, std::pow(static_cast<double>(config.width), -0.5)));
  attn_ = register_module("attn", Attention(config));
  ln_ = register_module("ln", LayerNorm(config.width, config.layer_norm_eps));
  mlp_ = register_module("mlp", Mlp(config));
}

torch::Tensor AttentionPoolImpl::forward(const torch::Tensor& tokens) {
  const int64_t batch = tokens.size(0), width = tokens.size(2);
  const auto probe = probe_.expand({batch, 1, width});              // [B, 1, D]
  const auto x = attn_->attend(probe, attn_->keys_values(tokens));  // [B, 1, D]
  return (x + mlp_(ln_(x))).squeeze(1);                             // [B, D]
}

}  // namespace opencloc
