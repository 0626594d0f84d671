// From an image tower's tokens to a language model's embeddings: LLaVA-1.5's `mlp2x_gelu` (Liu et
// al., "Improved Baselines with Visual Instruction Tuning", 2023).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/layers.h"

namespace opencloc {

// Parameters: linear_1 [H, D], linear_2 [H, H] and their biases (LLaVA's mm_projector.0 and .2).
class ProjectorImpl : public torch::nn::Module {
 public:
  // D = of the tokens, H = of the language model.
  ProjectorImpl(int64_t token_width, int64_t width);
  // tokens [B, T, D] -> [B, T, H]
  torch::Tensor forward(const torch::Tensor& tokens);

 private:
  Linear linear_1_{nullptr}, linear_2_{nullptr};
};
TORCH_MODULE(Projector);

}  // namespace opencloc
