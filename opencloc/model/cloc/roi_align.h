// 1x1 RoIAlign on patch tokens (He et al., 2017; the paper's ablation in place of the Prompter).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/layers.h"

namespace opencloc {

// Of a patch: rounding must not give a box of whole patches one more sample.
inline constexpr double kRoiRounding = 1e-4;

// tokens [B, T, D] (features.h), boxes [R, 4] of the canvas, image_index [R] of any device -> [R,
// D]. torchvision.ops.roi_align(output_size=1, sampling_ratio=-1, aligned=True): along each side of
// a box as many points as it spans patches, rounded up, at half-pixel places; no patch under a
// large box is passed over. Bilinear and box average are separable, so each box becomes one weight
// a row and one a column of the patch grid.
torch::Tensor roi_align(const torch::Tensor& tokens, const torch::Tensor& boxes,
                        const torch::Tensor& image_index);

// RoIAlign, layer norm, projection.
class RoiExtractorImpl : public torch::nn::Module {
 public:
  explicit RoiExtractorImpl(const ModelConfig& config);
  // -> [R, E], not normalised.
  torch::Tensor forward(const torch::Tensor& tokens, const torch::Tensor& boxes,
                        const torch::Tensor& image_index);

 private:
  LayerNorm ln_post_{nullptr};
  torch::Tensor proj_;  // [D, E]
};
TORCH_MODULE(RoiExtractor);

}  // namespace opencloc
