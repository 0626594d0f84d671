// CoCa's attentional pooler (Yu et al., "CoCa", 2022, section 3.2): learned queries read from the
// image's tokens. SigLIP's head is attention_pool.h.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/layers.h"

namespace opencloc {

// Parameters, under the names of open_clip's AttentionalPooler: query [n, E], ln_q, ln_k, and attn
// with out_proj, in_proj_bias [3 E] and q_proj_weight [E, E], k_proj_weight, v_proj_weight [E, D];
// with D = E in_proj_weight [3 E, E] instead, as PyTorch's MultiheadAttention has it.
class AttentionalPoolerImpl : public torch::nn::Module {
 public:
  explicit AttentionalPoolerImpl(const ModelConfig& config);
  // tokens [B, T, D] -> [B, n, E]
  torch::Tensor forward(const torch::Tensor& tokens);

 private:
  int64_t heads_;
  torch::Tensor query_;                           // [n, E]
  torch::Tensor q_weight_, k_weight_, v_weight_;  // [E, E], [E, D], [E, D]
  torch::Tensor in_proj_bias_;                    // [3 E]
  Linear out_proj_{nullptr};
  LayerNorm ln_q_{nullptr}, ln_k_{nullptr};
};
TORCH_MODULE(AttentionalPooler);

}  // namespace opencloc
