// QualityHead: how well a region's box holds one object, read from the region's embedding z.
// It predicts the IoU of the box with the best box of the data (docs/decisions/quality_head.md).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/layers.h"

namespace opencloc {

class QualityHeadImpl : public torch::nn::Module {
 public:
  explicit QualityHeadImpl(int64_t embed_dim);
  // z [R, E], not normalised -> [R] logits; the predicted IoU is their sigmoid.
  torch::Tensor forward(const torch::Tensor& z);

 private:
  Linear fc1_{nullptr}, fc2_{nullptr};
};
TORCH_MODULE(QualityHead);

}  // namespace opencloc
