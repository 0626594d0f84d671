#include "opencloc/model/coca/text_decoder.h"

#include <cmath>

#include <torch/nn/modules/container/modulelist.h>

#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/ops.h"

namespace opencloc {

CrossBlockImpl::CrossBlockImpl(const BlockConfig& config) : BlockImpl(config) {
  ln_1_kv = register_module("ln_1_kv", LayerNorm(config.width, config.layer_norm_eps));
}

torch::Tensor CrossBlockImpl::keys_values(const torch::Tensor& image) {
  return attn->keys_values(ln_1_kv(image));
}

torch::Tensor CrossBlockImpl::forward(torch::Tensor x, const torch::Tensor& keys_values) {
  x = x + attn->attend(ln_1(x), keys_values);
  return x + mlp(ln_2(x));
}

TextDecoderImpl::TextDecoderImpl(const ModelConfig& config) {
  const auto& decoder = *config.multimodal;
  BlockConfig block;
  block.width = decoder.width;
  block.heads = decoder.heads;
  block.mlp_width = 4 * decoder.width;
  block.gelu = config.quick_gelu ? ops::Gelu::kQuick : ops::Gelu::kErf;
  auto blocks = register_module("resblocks", torch::nn::ModuleList());
  auto cross = register_module("cross_attn", torch::nn::ModuleList());
  for (int64_t i = 0; i < decoder.layers; ++i) {
    blocks_.emplace_back(block);
    cross_.emplace_back(block);
    initialise(*blocks_.back(), decoder.layers);
    initialise(*cross_.back(), decoder.layers);
    blocks->push_back(blocks_.back());
    cross->push_back(cross_.back());
  }
  ln_final_ = register_module("ln_final", LayerNorm(decoder.width));
  text_projection = register_parameter(
      "text_projection", initial::normal({decoder.width, config.text.vocab_size},
                                         std::pow(static_cast<double>(decoder.width), -0.5)));
}

torch::Tensor TextDecoderImpl::forward(torch::Tensor tokens, const torch::Tensor& image) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    tokens = blocks_[i](tokens, ops::Mask::kCausal);            // [B, T, D]
    tokens = cross_[i](tokens, cross_[i]->keys_values(image));  // [B, T, D]
  }
  return ln_final_(tokens);
}

TextDecoderImpl::State TextDecoderImpl::begin(const torch::Tensor& image) {
  State state;
  for (auto& block : cross_) state.image.push_back(block->keys_values(image));
  state.text.resize(blocks_.size());
  return state;
}

torch::Tensor TextDecoderImpl::step(torch::Tensor tokens, State& state) {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    tokens = blocks_[i]->step(tokens, state.text[i]);  // [B, 1, D]
    tokens = cross_[i](tokens, state.image[i]);        // [B, 1, D]
  }
  return ln_final_(tokens);
}

torch::Tensor TextDecoderImpl::logits(const torch::Tensor& normed) const {
  return ops::linear(normed, text_projection.t());
}

}  // namespace opencloc
