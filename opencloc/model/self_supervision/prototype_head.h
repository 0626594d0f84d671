// What turns a token into a distribution over prototypes: the head of DINO and iBOT (Caron et al.,
// 2021; Zhou et al., "iBOT", 2022): three linears with GELUs between, normalised, and the cosines
// with as many prototypes. It serves training only.
#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/layers.h"

namespace opencloc {

struct PrototypeHeadConfig {
  int64_t hidden = 2048;
  int64_t bottleneck = 256;
  int64_t prototypes = 8192;  // K
};

// Parameters: fc_1, fc_2, fc_3, prototypes [K, bottleneck]. The published last layer is
// weight-normalised with its lengths held at 1 (norm_last_layer): only directions count.
// The linears begin as all linears here do and not with iBOT's deviation of 0.02, which fits widths
// of 768 and more: a narrow head's outputs would be so small that the gradient through their
// normalisation drowns every other loss.
class PrototypeHeadImpl : public torch::nn::Module {
 public:
  PrototypeHeadImpl(const PrototypeHeadConfig& config, int64_t in);
  // tokens [n, in] -> cosines [n, K], F32, which a softmax divides by a temperature.
  torch::Tensor forward(const torch::Tensor& tokens);

 private:
  Linear fc_1_{nullptr}, fc_2_{nullptr}, fc_3_{nullptr};
  torch::Tensor prototypes_;
};
TORCH_MODULE(PrototypeHead);

}  // namespace opencloc
