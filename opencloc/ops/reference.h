// Plain torch versions of ops.h, with torch's own autograd: what the kernels are tested against,
// and what tensors run on that the kernels do not serve (other devices, other types).
#pragma once

#include "opencloc/ops/ops.h"

namespace opencloc::ops::reference {

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias = {});
torch::Tensor gelu(const torch::Tensor& x, Gelu kind);
torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& weights);
torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon = 1e-5);
torch::Tensor self_attention(const torch::Tensor& qkv, int64_t heads, Mask mask = Mask::kNone);
torch::Tensor cross_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads);

}  // namespace opencloc::ops::reference
