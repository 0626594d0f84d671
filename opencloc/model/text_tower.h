// The text transformer of CLIP (causal, pooled at the end-of-text token) and of its relatives
// (TextConfig).
#pragma once

#include <torch/torch.h>

#include "opencloc/model/config.h"
#include "opencloc/model/transformer.h"

namespace opencloc {

// Parameters: token_embedding.weight, positional_embedding, transformer, ln_final, text_projection
// (with projection_bias: text_projection.weight, text_projection.bias).
class TextTowerImpl : public torch::nn::Module {
 public:
  explicit TextTowerImpl(const ModelConfig& config);
  // ids [B, T] int64, T <= context_length -> [B, E], not normalised. Where the configuration says
  // padding_is_ignored(), ids cut after the longest text's end token give the same result as padded
  // ones; else T should be the context length.
  torch::Tensor forward(const torch::Tensor& ids);

 private:
  torch::Tensor pool(const torch::Tensor& x, const torch::Tensor& ids) const;  // [B, D]

  TextConfig config_;
  torch::Tensor token_embedding_;       // [V, D]
  torch::Tensor positional_embedding_;  // [context, D]
  torch::Tensor text_projection_;       // [D, E]
  Linear projection_{nullptr};          // instead, with a bias
  Transformer transformer_{nullptr};
  LayerNorm ln_final_{nullptr};
};
TORCH_MODULE(TextTower);

}  // namespace opencloc
