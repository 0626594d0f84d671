// Differentiable operations on torch tensors. F32 tensors in main memory run on our kernels, all
// others on libtorch (precision.h: Backend). Weights are F32, but linear() and mlp() also take
// those of 8 bits (quantized.h). Activations are F32; libtorch's are bf16 where products are
// (precision.h), and then what goes in may be either. Leading dimensions are free unless named.
#pragma once

#include <torch/types.h>

namespace opencloc::ops {

// y = x W^T + b. x [..., I], weight [O, I], bias [O] or undefined -> [..., O].
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias = {});

// kQuick: x * sigmoid(1.702 x), OpenAI's CLIP; kTanh: the approximation with a tanh, SigLIP.
enum class Gelu { kErf, kQuick, kTanh };
torch::Tensor gelu(const torch::Tensor& x, Gelu kind);

// Two linears with a GELU between: c_proj(gelu(c_fc(x))). x [..., D] -> [..., D].
struct MlpWeights {
  torch::Tensor fc_weight, fc_bias;      // [F, D], [F]
  torch::Tensor proj_weight, proj_bias;  // [D, F], [D]
  Gelu gelu = Gelu::kErf;
};
torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& weights);

// Over the last axis; weight, bias [D].
torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon = 1e-5);

// Where the branch of a pre-norm residual layer leaves its stream, x + f(layer_norm(x)): `normed`
// goes into the branch and `x` on beside it. The two gradients that come back are added within the
// layer norm's backward pass and not in a pass of their own.
struct BranchStart {
  torch::Tensor x, normed;
};
BranchStart branch_start(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon = 1e-5);
// x as activations are now (precision.h): F32 -> bf16 where libtorch multiplies in bf16, else x.
// For what a tower begins with.
torch::Tensor as_activation(const torch::Tensor& x);

// The same of x + added, where one branch ends and the next begins: `x` is the sum.
BranchStart add_branch_start(const torch::Tensor& x, const torch::Tensor& added,
                             const torch::Tensor& weight, const torch::Tensor& bias,
                             double epsilon = 1e-5);
// a + b of the same sizes, on all threads of the caller.
torch::Tensor add(const torch::Tensor& a, const torch::Tensor& b);

enum class Mask { kNone, kCausal };
// Scaled dot-product self-attention. qkv [B, T, 3 D] (q, k, v side by side) -> [B, T, D];
// scale 1/sqrt(D / heads).
torch::Tensor self_attention(const torch::Tensor& qkv, int64_t heads, Mask mask = Mask::kNone);
// Queries from elsewhere. q [B, Tq, D], k, v [B, Tk, D] -> [B, Tq, D].
torch::Tensor cross_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads);

}  // namespace opencloc::ops
