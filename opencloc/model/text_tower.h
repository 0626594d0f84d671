// OpenAI-CLIP's causal text transformer, pooled at the end-of-text token.
#pragma once

#include <torch/torch.h>

#include "opencloc/model/config.h"
#include "opencloc/model/transformer.h"

namespace opencloc {

// Parameters: token_embedding.weight, positional_embedding, transformer, ln_final, text_projection.
class TextTowerImpl : public torch::nn::Module {
 public:
  explicit TextTowerImpl(const ModelConfig& config);
  // ids [B, T] int64, T <= context_length -> [B, E], not normalised. Attention is causal, so ids
  // cut after the longest text's end token give the same result as padded ones.
  torch::Tensor forward(const torch::Tensor& ids);

 private:
  TextConfig config_;
  torch::Tensor token_embedding_;       // [V, D]
  torch::Tensor positional_embedding_;  // [context, D]
  torch::Tensor text_projection_;       // [D, E]
  Transformer transformer_{nullptr};
  LayerNorm ln_final_{nullptr};
};
TORCH_MODULE(TextTower);

}  // namespace opencloc
