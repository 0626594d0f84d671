// The two parametrised layers everything else is made of, over our ops.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/ops/ops.h"

namespace opencloc {

// weight [O, I], bias [O].
class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(int64_t in, int64_t out);
  // x [..., I] -> [..., O]
  torch::Tensor forward(const torch::Tensor& x) { return ops::linear(x, weight, bias); }
  torch::Tensor weight, bias;
};
TORCH_MODULE(Linear);

// weight [D] = 1, bias [D] = 0.
class LayerNormImpl : public torch::nn::Module {
 public:
  explicit LayerNormImpl(int64_t width, double epsilon = 1e-5);
  // Over the last axis of x [..., D].
  torch::Tensor forward(const torch::Tensor& x) {
    return ops::layer_norm(x, weight, bias, epsilon_);
  }
  // The same, and x for what goes on beside a branch that begins here.
  ops::BranchStart branch(const torch::Tensor& x) {
    return ops::branch_start(x, weight, bias, epsilon_);
  }
  // The same of x + added.
  ops::BranchStart branch(const torch::Tensor& x, const torch::Tensor& added) {
    return ops::add_branch_start(x, added, weight, bias, epsilon_);
  }
  torch::Tensor weight, bias;

 private:
  double epsilon_;
};
TORCH_MODULE(LayerNorm);

}  // namespace opencloc
