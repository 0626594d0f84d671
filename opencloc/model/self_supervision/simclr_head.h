// The projection head of SimCLR as SLIP has it (Chen et al., 2020; Mu et al., "SLIP", 2022):
// Linear, batch norm, ReLU, Linear, batch norm, ReLU, Linear. It serves training only.
#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/layers.h"

namespace opencloc {

struct SimclrHeadConfig {
  int64_t hidden = 4096;
  int64_t out = 256;
};

// Parameters: fc_1, bn_1.{weight, bias}, fc_2, bn_2.{weight, bias}, fc_3.
class SimclrHeadImpl : public torch::nn::Module {
 public:
  SimclrHeadImpl(const SimclrHeadConfig& config, int64_t in);
  // rows [B, in], of the whole batch: the norms are over all of its rows, and nothing is kept of
  // them -> [B, out]
  torch::Tensor forward(const torch::Tensor& rows);

 private:
  struct Norm {
    torch::Tensor weight, bias;  // [hidden]
  };
  Norm make_norm(const char* name, int64_t width);
  Linear fc_1_{nullptr}, fc_2_{nullptr}, fc_3_{nullptr};
  Norm bn_1_, bn_2_;
};
TORCH_MODULE(SimclrHead);

}  // namespace opencloc
