// The text transformer of CLIP (causal, pooled at the end-of-text token) and of its relatives
// (TextConfig).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/transformer.h"

namespace opencloc {

struct TextFeatures {
  torch::Tensor embedding;  // [B, E], not normalised
  torch::Tensor tokens;     // [B, T, D], after the last block, without norm: what a decoder reads
};

// Parameters: token_embedding.weight, positional_embedding, cls_emb (with embed_cls), transformer,
// ln_final, text_projection (with projection_bias: text_projection.weight, text_projection.bias).
class TextTowerImpl : public torch::nn::Module {
 public:
  explicit TextTowerImpl(const ModelConfig& config);
  // ids [B, T] int64, T <= context_length -> [B, E], not normalised. Where the configuration says
  // padding_is_ignored(), ids cut after the longest text's end token give the same result as padded
  // ones; else T should be the context length.
  torch::Tensor forward(const torch::Tensor& ids) { return encode(ids).embedding; }
  TextFeatures encode(const torch::Tensor& ids);
  // The words at places `keep` [B, K] int64, ascending, each with its own place, without what
  // stands between them -> tokens [B, K, D], after the last block. Causal towers without cls_emb.
  torch::Tensor encode_some(const torch::Tensor& ids, const torch::Tensor& keep);
  // The tokens of encode(), one place at a time (Transformer::step): ids [B], the place they stand
  // at -> [B, 1, D]. Causal towers alone.
  torch::Tensor step(const torch::Tensor& ids, int64_t place, std::vector<torch::Tensor>& caches);

 private:
  TextFeatures encode_with_cls(const torch::Tensor& ids);
  torch::Tensor embed(const torch::Tensor& pooled);
  torch::Tensor pool(const torch::Tensor& x, const torch::Tensor& ids) const;  // [B, D]

  TextConfig config_;
  torch::Tensor token_embedding_;       // [V, D]
  torch::Tensor positional_embedding_;  // [context, D]; one more with embed_cls
  torch::Tensor cls_emb_;               // [D]
  torch::Tensor text_projection_;       // [D, E]
  Linear projection_{nullptr};          // instead, with a bias
  Transformer transformer_{nullptr};
  LayerNorm ln_final_{nullptr};
};
TORCH_MODULE(TextTower);

}  // namespace opencloc
