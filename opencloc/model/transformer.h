// The pre-norm transformer both towers and the Prompter share (Radford et al., 2021), with
// open_clip's parameter names: resblocks.N.{ln_1, attn.in_proj_*, attn.out_proj, ln_2, mlp.c_fc,
// mlp.c_proj}.
#pragma once

#include <cmath>
#include <vector>

#include <torch/torch.h>

#include "opencloc/model/config.h"
#include "opencloc/model/layers.h"

namespace opencloc {

struct BlockConfig {
  int64_t width = 0;
  int64_t heads = 1;
  int64_t mlp_width = 0;
  ops::Gelu gelu = ops::Gelu::kErf;
  double layer_norm_eps = 1e-5;
};

// The blocks of a tower (VisionConfig or TextConfig) of a model.
template <typename TowerConfig>
BlockConfig block_config(const ModelConfig& model, const TowerConfig& tower, int64_t heads) {
  const auto mlp_width = std::llround(static_cast<double>(tower.width) * tower.mlp_ratio);
  const auto gelu = model.quick_gelu  ? ops::Gelu::kQuick
                    : tower.gelu_tanh ? ops::Gelu::kTanh
                                      : ops::Gelu::kErf;
  return {tower.width, heads, mlp_width, gelu, tower.layer_norm_eps};
}

// in_proj_weight [3 D, D], in_proj_bias [3 D] (query, key, value), out_proj.
class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const BlockConfig& config);
  // x [B, T, D] -> [B, T, D]
  torch::Tensor forward(const torch::Tensor& x, ops::Mask mask);
  // The three projections apart, for attention whose queries come from elsewhere. x [..., D].
  torch::Tensor queries(const torch::Tensor& x) const;
  torch::Tensor keys_values(const torch::Tensor& x) const;  // [..., 2 D]

  torch::Tensor in_proj_weight, in_proj_bias;
  Linear out_proj{nullptr};
  int64_t heads;
};
TORCH_MODULE(Attention);

class MlpImpl : public torch::nn::Module {
 public:
  explicit MlpImpl(const BlockConfig& config);
  torch::Tensor forward(const torch::Tensor& x);
  Linear c_fc{nullptr}, c_proj{nullptr};

 private:
  ops::Gelu gelu_;
};
TORCH_MODULE(Mlp);

class BlockImpl : public torch::nn::Module {
 public:
  explicit BlockImpl(const BlockConfig& config);
  // x [B, T, D] -> [B, T, D]
  torch::Tensor forward(torch::Tensor x, ops::Mask mask);
  LayerNorm ln_1{nullptr}, ln_2{nullptr};
  Attention attn{nullptr};
  Mlp mlp{nullptr};
};
TORCH_MODULE(Block);

class TransformerImpl : public torch::nn::Module {
 public:
  // Initialised as open_clip does: attention D^-1/2, residual projections (2 D layers)^-1/2.
  TransformerImpl(const BlockConfig& config, int64_t layers);
  // x [B, T, D] -> [B, T, D]. `hidden`, when given, receives what comes out of `hidden->after`
  // blocks (0: x itself).
  struct Hidden {
    int64_t after = 0;
    torch::Tensor tokens;  // [B, T, D]
  };
  torch::Tensor forward(torch::Tensor x, ops::Mask mask, Hidden* hidden = nullptr);

 private:
  std::vector<Block> blocks_;
};
TORCH_MODULE(Transformer);

}  // namespace opencloc
