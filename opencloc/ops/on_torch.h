// The operations of ops.h on libtorch: for other devices than the CPU, other types than F32, and
// for Backend::kTorch. Private to opencloc/ops. What they give is what reference.h gives, up to
// rounding.
//
// With products in bf16 (precision.h) activations are bf16 from one operation to the next, half the
// memory and traffic; weights and their gradients stay F32. A weight is rounded once a step and not
// once a use: its rounded form is kept until the weight changes (packed_weights.h).
#pragma once

#include <torch/types.h>

#include "opencloc/ops/indexed_attention.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops::on_torch {

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias);
torch::Tensor gelu(const torch::Tensor& x, Gelu kind);
torch::Tensor mlp(const torch::Tensor& x, const MlpWeights& weights);
torch::Tensor layer_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias, double epsilon);
// added: undefined = nothing.
BranchStart add_branch_start(const torch::Tensor& x, const torch::Tensor& added,
                             const torch::Tensor& weight, const torch::Tensor& bias,
                             double epsilon);
torch::Tensor self_attention(const torch::Tensor& qkv, int64_t heads, Mask mask);
torch::Tensor cross_attention(const torch::Tensor& q, const torch::Tensor& k,
                              const torch::Tensor& v, int64_t heads);

// The groups of one row of keys become the rows of one product: no key is copied. Memory beside the
// inputs: the scores [B, M P, T], M the most groups of a row, some rows of keys at a time.
PartialAttention indexed_attention(const torch::Tensor& q, const torch::Tensor& keys_values,
                                   const torch::Tensor& index);
torch::Tensor add_merged(const torch::Tensor& x, const PartialAttention& a,
                         const PartialAttention& b);

}  // namespace opencloc::ops::on_torch
