// Means over tokens, and an MLP whose outputs are averaged: the second product is made once a
// group, not once a token.
#pragma once

#include <torch/types.h>

#include "opencloc/ops/ops.h"

namespace opencloc::ops {

// x.mean(1) on our threads: x [N, T, D], T >= 1 -> [N, D].
torch::Tensor mean_over_tokens(const torch::Tensor& x);

// mlp(x, weights).mean(1): x [N, T, D], T >= 1 -> [N, D]. The mean is taken before the second
// product, which is linear; in bf16 the hidden layer is never written but for the backward pass.
torch::Tensor mean_of_mlp(const torch::Tensor& x, const MlpWeights& weights);

}  // namespace opencloc::ops
