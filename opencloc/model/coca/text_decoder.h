// CoCa's multimodal decoder (Yu et al., 2022, section 3.2): writes a caption from what the text
// tower makes of the words so far and from the image, by blocks of causal self-attention and of
// attention to the image in turn.
#pragma once

#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/transformer.h"

namespace opencloc {

// A block whose queries are the text's and whose keys and values are the image's, which have a norm
// of their own: ln_1_kv beside Block's parameters.
class CrossBlockImpl : public BlockImpl {
 public:
  explicit CrossBlockImpl(const BlockConfig& config);
  // image [B, Q, D] -> [B, Q, 2 D]
  torch::Tensor keys_values(const torch::Tensor& image);
  // x [B, T, D], keys_values [B, Q, 2 D] -> [B, T, D]
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& keys_values);
  LayerNorm ln_1_kv{nullptr};
};
TORCH_MODULE(CrossBlock);

// Parameters: resblocks.N, cross_attn.N, ln_final, text_projection [D, V], under open_clip's names.
class TextDecoderImpl : public torch::nn::Module {
 public:
  explicit TextDecoderImpl(const ModelConfig& config);

  // tokens [B, T, D] (TextFeatures), image [B, Q, D] (ImageFeatures::captioning) -> [B, T, D]: what
  // the next word at each place is read off, normalised (ln_final).
  torch::Tensor forward(torch::Tensor tokens, const torch::Tensor& image);

  // The same, one place at a time. The state belongs to rows of a batch: select rows of every
  // tensor to keep, drop or repeat them.
  struct State {
    std::vector<torch::Tensor> image;  // [B, Q, 2 D] a layer
    std::vector<torch::Tensor> text;   // [B, t, 2 D] a layer
  };
  State begin(const torch::Tensor& image);
  torch::Tensor step(torch::Tensor tokens, State& state);  // [B, 1, D] -> [B, 1, D]

  // [..., D] -> logits [..., V]
  torch::Tensor logits(const torch::Tensor& normed) const;

  torch::Tensor text_projection;  // [D, V]

 private:
  std::vector<Block> blocks_;
  std::vector<CrossBlock> cross_;
  LayerNorm ln_final_{nullptr};
};
TORCH_MODULE(TextDecoder);

}  // namespace opencloc
