#include "opencloc/model/layers/transformer.h"

#include <cmath>
#include <string>

#include <torch/nn/modules/container/modulelist.h>

#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/mean_of_mlp.h"

namespace opencloc {
namespace {

// What queries [B, Tq, D] read from keys_values [B, Tk, 2 D], projected -> [B, Tq, D].
torch::Tensor read(AttentionImpl& attn, const torch::Tensor& queries,
                   const torch::Tensor& keys_values) {
  const auto parts = keys_values.chunk(2, -1);  // [B, Tk, D] each
  return attn.out_proj(ops::cross_attention(queries, parts[0], parts[1], attn.heads));
}

}  // namespace

AttentionImpl::AttentionImpl(const BlockConfig& config) : heads(config.heads) {
  const int64_t width = config.width;
  in_proj_weight = register_parameter("in_proj_weight", torch::empty({3 * width, width}));
  in_proj_bias = register_parameter("in_proj_bias", torch::zeros({3 * width}));
  initial::fill_xavier(in_proj_weight);
  out_proj = register_module("out_proj", Linear(width, width));
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x, ops::Mask mask,
                                     const Rotation& rotation) {
  auto qkv = ops::linear(x, in_proj_weight, in_proj_bias);  // [B, T, 3 D]
  if (rotation.defined()) qkv = rotated(qkv, heads, rotation);
  return out_proj(ops::self_attention(qkv, heads, mask));
}

torch::Tensor AttentionImpl::step(const torch::Tensor& x, torch::Tensor& cache) {
  const int64_t width = x.size(-1);
  const auto qkv = ops::linear(x, in_proj_weight, in_proj_bias);  // [B, T, 3 D]
  const auto added = qkv.slice(2, width);                         // [B, T, 2 D]
  if (x.size(1) > 1) {
    TORCH_CHECK(!cache.defined(), "several places at a time are the first ones");
    cache = added;
    return out_proj(ops::self_attention(qkv, heads, ops::Mask::kCausal));
  }
  cache = cache.defined() ? torch::cat({cache, added}, 1) : added;
  return read(*this, qkv.slice(2, 0, width), cache);
}

torch::Tensor AttentionImpl::attend(const torch::Tensor& x, const torch::Tensor& keys_values) {
  return read(*this, queries(x), keys_values);
}

torch::Tensor AttentionImpl::queries(const torch::Tensor& x) const {
  const int64_t width = x.size(-1);
  return ops::linear(x, in_proj_weight.slice(0, 0, width), in_proj_bias.slice(0, 0, width));
}

torch::Tensor AttentionImpl::keys_values(const torch::Tensor& x) const {
  const int64_t width = x.size(-1);
  return ops::linear(x, in_proj_weight.slice(0, width), in_proj_bias.slice(0, width));
}

torch::Tensor AttentionImpl::own_value(const torch::Tensor& x) {
  const int64_t width = x.size(-1);
  return out_proj(
      ops::linear(x, in_proj_weight.slice(0, 2 * width), in_proj_bias.slice(0, 2 * width)));
}

MlpImpl::MlpImpl(const BlockConfig& config) : gelu_(config.gelu) {
  c_fc = register_module("c_fc", Linear(config.width, config.mlp_width));
  c_proj = register_module("c_proj", Linear(config.mlp_width, config.width));
}

ops::MlpWeights MlpImpl::weights() const {
  return {c_fc->weight, c_fc->bias, c_proj->weight, c_proj->bias, gelu_};
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x) { return ops::mlp(x, weights()); }

torch::Tensor MlpImpl::mean_over_tokens(const torch::Tensor& x) {
  return ops::mean_of_mlp(x, weights());
}

BlockImpl::BlockImpl(const BlockConfig& config) {
  ln_1 = register_module("ln_1", LayerNorm(config.width, config.layer_norm_eps));
  attn = register_module("attn", Attention(config));
  ln_2 = register_module("ln_2", LayerNorm(config.width, config.layer_norm_eps));
  mlp = register_module("mlp", Mlp(config));
}

torch::Tensor BlockImpl::forward(torch::Tensor x, ops::Mask mask, const Rotation& rotation) {
  const auto first = ln_1->branch(x);
  const auto second = ln_2->branch(first.x, attn(first.normed, mask, rotation));
  return ops::add(second.x, mlp(second.normed));
}

torch::Tensor BlockImpl::step(torch::Tensor x, torch::Tensor& cache) {
  x = x + attn->step(ln_1(x), cache);
  return x + mlp(ln_2(x));
}

torch::Tensor BlockImpl::without_attention(const torch::Tensor& x) {
  const auto seen = x + attn->own_value(ln_1(x));
  return seen + mlp(ln_2(seen));
}

void initialise(BlockImpl& block, int64_t layers) {
  const auto width = static_cast<double>(block.attn->in_proj_weight.size(1));
  const double residual_std = std::pow(2.0 * width * static_cast<double>(layers), -0.5);
  initial::fill_normal(block.attn->in_proj_weight, std::pow(width, -0.5));
  initial::fill_normal(block.attn->out_proj->weight, residual_std);
  initial::fill_normal(block.mlp->c_fc->weight, std::pow(2.0 * width, -0.5));
  initial::fill_normal(block.mlp->c_proj->weight, residual_std);
}

TransformerImpl::TransformerImpl(const BlockConfig& config, int64_t layers) {
  auto blocks = register_module("resblocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < layers; ++i) {
    Block block(config);
    initialise(*block, layers);
    blocks->push_back(block);
    blocks_.push_back(block);
  }
}

torch::Tensor TransformerImpl::step(torch::Tensor x, std::vector<torch::Tensor>& caches) {
  caches.resize(blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i) x = blocks_[i]->step(x, caches[i]);
  return x;
}

torch::Tensor TransformerImpl::forward(torch::Tensor x, ops::Mask mask, std::vector<Hidden>* hidden,
                                       const Rotation& rotation) {
  int64_t done = 0;
  const auto keep = [&] {
    if (hidden == nullptr) return;
    for (auto& one : *hidden)
      if (one.after == done) one.tokens = x;
  };
  keep();
  for (auto& block : blocks_) {
    x = block(x, mask, rotation);
    ++done;
    keep();
  }
  return x;
}

}  // namespace opencloc
