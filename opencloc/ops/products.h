// The matrix products of a linear layer on dense F32 tensors in main memory, outside autograd.
// Private to opencloc/ops.
#pragma once

#include <torch/types.h>

#include "opencloc/ops/precision.h"

namespace opencloc::ops {

// Whether a weight is read again as it is (packed_weights.h), or is about to be trained.
enum class WeightUse { kOnce, kAgain };
// kAgain unless autograd records for the weight.
WeightUse use_of(const torch::Tensor& weight);

// y [..., O] = x [..., I] W [O, I]^T + bias [O] (may be undefined). `weight` has any strides.
void product_forward(Precision precision, const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias, torch::Tensor& y, WeightUse use = WeightUse::kOnce);
// dx [..., I] = dy [..., O] W [O, I].
void product_dx(Precision precision, const torch::Tensor& dy, const torch::Tensor& weight,
                torch::Tensor& dx);

struct WeightGradient {
  torch::Tensor weight;  // [O, I] = dy^T x
  torch::Tensor bias;    // [O] = column sums of dy
};
// Both from dy [..., O] and x [..., I]; with bf16 products dy and x may themselves be bf16.
WeightGradient product_dw(Precision precision, const torch::Tensor& dy, const torch::Tensor& x);

}  // namespace opencloc::ops
