// The pre-norm transformer both towers and the Prompter share (Radford et al., 2021), with
// open_clip's parameter names: resblocks.N.{ln_1, attn.in_proj_*, attn.out_proj, ln_2, mlp.c_fc,
// mlp.c_proj}.
#pragma once

#include <cmath>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/layers.h"
#include "opencloc/model/layers/rotary.h"

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
  // x [B, T, D] -> [B, T, D]. `rotation`: of rotary positions, if there are any.
  torch::Tensor forward(const torch::Tensor& x, ops::Mask mask, const Rotation& rotation = {});
  // Causal attention one place at a time: x [B, 1, D] looks at itself and at the places before,
  // whose `cache` [B, t, 2 D] (undefined: none) grows by one. The first call may bring several
  // places. -> [B, 1, D]
  torch::Tensor step(const torch::Tensor& x, torch::Tensor& cache);
  // Attention to given keys_values [B, Tk, 2 D]. x [B, T, D] -> [B, T, D]
  torch::Tensor attend(const torch::Tensor& x, const torch::Tensor& keys_values);
  // The three projections apart, for attention whose queries come from elsewhere. x [..., D].
  torch::Tensor queries(const torch::Tensor& x) const;
  torch::Tensor keys_values(const torch::Tensor& x) const;  // [..., 2 D]
  // What a token reads that looks at itself alone: its value, projected. x [..., D] -> [..., D]
  torch::Tensor own_value(const torch::Tensor& x);

  torch::Tensor in_proj_weight, in_proj_bias;
  Linear out_proj{nullptr};
  int64_t heads;
};
TORCH_MODULE(Attention);

class MlpImpl : public torch::nn::Module {
 public:
  explicit MlpImpl(const BlockConfig& config);
  torch::Tensor forward(const torch::Tensor& x);           // [..., D] -> [..., D]
  torch::Tensor mean_over_tokens(const torch::Tensor& x);  // [B, T, D] -> [B, D]
  Linear c_fc{nullptr}, c_proj{nullptr};

 private:
  ops::MlpWeights weights() const;
  ops::Gelu gelu_;
};
TORCH_MODULE(Mlp);

class BlockImpl : public torch::nn::Module {
 public:
  explicit BlockImpl(const BlockConfig& config);
  // Arguments as Attention's. x [B, T, D] -> [B, T, D]
  torch::Tensor forward(torch::Tensor x, ops::Mask mask, const Rotation& rotation = {});
  torch::Tensor step(torch::Tensor x, torch::Tensor& cache);
  // Every token looks at itself alone (Zhou et al., "Extract Free Dense Labels from CLIP", 2022).
  torch::Tensor without_attention(const torch::Tensor& x);
  LayerNorm ln_1{nullptr}, ln_2{nullptr};
  Attention attn{nullptr};
  Mlp mlp{nullptr};
};
TORCH_MODULE(Block);

// Initialised as open_clip does within a tower of that many layers: attention D^-1/2, residual
// projections (2 D layers)^-1/2.
void initialise(BlockImpl& block, int64_t layers);

class TransformerImpl : public torch::nn::Module {
 public:
  TransformerImpl(const BlockConfig& config, int64_t layers);
  // x [B, T, D] -> [B, T, D]. Each of `hidden` receives what comes out of `after` blocks (0: x
  // itself).
  struct Hidden {
    int64_t after = 0;
    torch::Tensor tokens;  // [B, T, D]
  };
  torch::Tensor forward(torch::Tensor x, ops::Mask mask, std::vector<Hidden>* hidden = nullptr,
                        const Rotation& rotation = {});
  // One place at a time, for writing text: `caches` has one a block (empty at the first call, which
  // may bring several places). The same numbers as forward()'s with Mask::kCausal.
  // x [B, 1, D] -> [B, 1, D]
  torch::Tensor step(torch::Tensor x, std::vector<torch::Tensor>& caches);
  // For towers that put an attention of their own between the parts of a block.
  std::vector<Block>& blocks() { return blocks_; }

 private:
  std::vector<Block> blocks_;
};
TORCH_MODULE(Transformer);

}  // namespace opencloc
