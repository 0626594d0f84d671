// BoxHead: 2-layer MLP with GELU on z(y) giving a box (arXiv 2410.02746, section 3.3).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/layers.h"

namespace opencloc {

class BoxHeadImpl : public torch::nn::Module {
 public:
  explicit BoxHeadImpl(int64_t embed_dim);
  // z [R, E], not normalised -> [R, 4] x0, y0, x1, y1 of the canvas. Centre and size are predicted
  // through a sigmoid, so the corners are in order by construction; they may leave [0, 1].
  torch::Tensor forward(const torch::Tensor& z);

 private:
  Linear fc1_{nullptr}, fc2_{nullptr};
};
TORCH_MODULE(BoxHead);

}  // namespace opencloc
