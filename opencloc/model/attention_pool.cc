#include "opencloc/model/attention_pool.h"

#include <cmath>

namespace opencloc {

AttentionPoolImpl::AttentionPoolImpl(const BlockConfig& config) {
  probe_ = register_parameter("probe", torch::randn({1, 1, config.width}) *
                                           std::pow(static_cast<double>(config.width), -0.5));
  attn_ = register_module("attn", Attention(config));
  ln_ = register_module("ln", LayerNorm(config.width, config.layer_norm_eps));
  mlp_ = register_module("mlp", Mlp(config));
}

torch::Tensor AttentionPoolImpl::forward(const torch::Tensor& tokens) {
  const int64_t batch = tokens.size(0), width = tokens.size(2);
  const auto query = attn_->queries(probe_).expand({batch, 1, width});  // [B, 1, D]
  const auto keys_values = attn_->keys_values(tokens);                  // [B, T, 2 D]
  const auto attended =
      ops::cross_attention(query, keys_values.slice(2, 0, width), keys_values.slice(2, width),
                           attn_->heads);  // [B, 1, D]
  const auto x = attn_->out_proj(attended);
  return (x + mlp_(ln_(x))).squeeze(1);  // [B, D]
}

}  // namespace opencloc
