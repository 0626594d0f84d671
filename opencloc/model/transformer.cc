#include "opencloc/model/transformer.h"

#include <cmath>
#include <string>

namespace opencloc {

AttentionImpl::AttentionImpl(const BlockConfig& config) : heads(config.heads) {
  const int64_t width = config.width;
  in_proj_weight = register_parameter("in_proj_weight", torch::empty({3 * width, width}));
  in_proj_bias = register_parameter("in_proj_bias", torch::zeros({3 * width}));
  torch::nn::init::xavier_uniform_(in_proj_weight);
  out_proj = register_module("out_proj", Linear(width, width));
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x, ops::Mask mask) {
  const auto qkv = ops::linear(x, in_proj_weight, in_proj_bias);  // [B, T, 3 D]
  return out_proj(ops::self_attention(qkv, heads, mask));         // [B, T, D]
}

torch::Tensor AttentionImpl::queries(const torch::Tensor& x) const {
  const int64_t width = x.size(-1);
  return ops::linear(x, in_proj_weight.slice(0, 0, width), in_proj_bias.slice(0, 0, width));
}

torch::Tensor AttentionImpl::keys_values(const torch::Tensor& x) const {
  const int64_t width = x.size(-1);
  return ops::linear(x, in_proj_weight.slice(0, width), in_proj_bias.slice(0, width));
}

MlpImpl::MlpImpl(const BlockConfig& config) : gelu_(config.gelu) {
  c_fc = register_module("c_fc", Linear(config.width, config.mlp_width));
  c_proj = register_module("c_proj", Linear(config.mlp_width, config.width));
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x) {
  return ops::mlp(x, {c_fc->weight, c_fc->bias, c_proj->weight, c_proj->bias, gelu_});
}

BlockImpl::BlockImpl(const BlockConfig& config) {
  ln_1 = register_module("ln_1", LayerNorm(config.width, config.layer_norm_eps));
  attn = register_module("attn", Attention(config));
  ln_2 = register_module("ln_2", LayerNorm(config.width, config.layer_norm_eps));
  mlp = register_module("mlp", Mlp(config));
}

torch::Tensor BlockImpl::forward(torch::Tensor x, ops::Mask mask) {
  x = x + attn(ln_1(x), mask);
  return x + mlp(ln_2(x));
}

TransformerImpl::TransformerImpl(const BlockConfig& config, int64_t layers) {
  auto blocks = register_module("resblocks", torch::nn::ModuleList());
  const auto width = static_cast<double>(config.width);
  const double attn_std = std::pow(width, -0.5);
  const double residual_std = std::pow(2.0 * width * static_cast<double>(layers), -0.5);
  const double fc_std = std::pow(2.0 * width, -0.5);
  for (int64_t i = 0; i < layers; ++i) {
    Block block(config);
    torch::nn::init::normal_(block->attn->in_proj_weight, 0, attn_std);
    torch::nn::init::normal_(block->attn->out_proj->weight, 0, residual_std);
    torch::nn::init::normal_(block->mlp->c_fc->weight, 0, fc_std);
    torch::nn::init::normal_(block->mlp->c_proj->weight, 0, residual_std);
    blocks->push_back(block);
    blocks_.push_back(block);
  }
}

torch::Tensor TransformerImpl::forward(torch::Tensor x, ops::Mask mask, Hidden* hidden) {
  int64_t done = 0;
  const auto keep = [&] {
    if (hidden != nullptr && hidden->after == done) hidden->tokens = x;
  };
  keep();
  for (auto& block : blocks_) {
    x = block(x, mask);
    ++done;
    keep();
  }
  return x;
}

}  // namespace opencloc
